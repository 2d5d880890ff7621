// The API: one place for the address, the token, and what went wrong.

const TOKEN = 'safelight-token';

/** Answers `{ api, token?, live?, operations? }`: where the API is and what it can do besides. */
async function load() {
  const response = await fetch('config.json', { cache: 'no-store' });
  if (!response.ok) throw new Failure('The console has no configuration: config.json is missing.');
  return response.json();
}

/** A problem of the API (RFC 9457), or no answer at all. */
export class Failure extends Error {
  constructor(message, { status = 0, code = 'unreachable' } = {}) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export const config = {};

/** Reads the configuration; without it nothing works. */
export async function start() {
  Object.assign(config, await load());
  config.api = new URL(config.api ?? '..', location.href).href.replace(/\/$/, '');
}

export function token() {
  return config.token || sessionStorage.getItem(TOKEN) || '';
}

export function signIn(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

/** What the token says of its bearer. Nothing depends on it but what is shown: the API checks it. */
export function claims() {
  try {
    const part = token().split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0))));
  } catch {
    return {};
  }
}

/** Whether the token is an administrator's, who sees everybody's assets. */
export function isAdmin() {
  return String(claims().scope ?? '').split(' ').some((scope) => scope.endsWith(':admin'));
}

/**
 * One request; its answer as JSON.
 * @throws {Failure}
 */
export async function call(method, path, { body, query, signal } = {}) {
  const url = new URL(config.api + path);
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined && value !== null && value !== '') url.searchParams.set(name, value);
  const bearer = token();
  let response;
  try {
    response = await fetch(url, {
      method,
      signal,
      headers: {
        accept: 'application/json',
        ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure('The server cannot be reached.');
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) dispatchEvent(new CustomEvent('signed-out', { detail: answer.code }));
  const wrong = (answer.errors ?? []).map((error) => `${error.path}: ${error.message}`).join('; ');
  throw new Failure([answer.detail ?? `The server answered ${response.status}.`, wrong].filter(Boolean).join(' '), { status: response.status, code: answer.code ?? 'failed' });
}
