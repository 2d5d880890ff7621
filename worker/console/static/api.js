// The API: one place for the address, the token, and what went wrong.

const TOKEN = 'safelight-token';
const RIGHTS = { owner: 'sub', claims: ['scope'], prefix: 'safelight:' };

/** Returns `{ api, token?, sign_in?, rights?, live?, operations?, dashboard? }`: the API's URL, the provider, and the parts that this stack has. */
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

/** How people sign in at a provider; null where they paste a token, or where `config.json` has one. */
export let provider = null;

/** Reads the configuration, which the page needs. Returns the error if sign-in has failed. */
export async function start() {
  Object.assign(config, await load());
  config.api = new URL(config.api ?? '..', location.href).href.replace(/\/$/, '');
  config.rights = { ...RIGHTS, ...config.rights };
  if (!config.sign_in) return null;
  try {
    const { SignIn } = await import('./sign-in.js');
    provider = await SignIn.at(config.sign_in);
    await provider.arrive();
  } catch (error) {
    return error.message;
  }
  return null;
}

/** The current token, without renewing it, to read its claims. */
function token() {
  return provider ? provider.access : sessionStorage.getItem(TOKEN) || config.token || '';
}

export function signedIn() { return token() !== ''; }

/** A token for a request; the provider renews it if need be. */
export async function bearer() {
  return provider ? provider.token() : token();
}

/** Takes a pasted token, or forgets it. */
export function paste(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

/** What the token says of its bearer. Nothing depends on it but what is shown: the API checks it. */
function claims() {
  try {
    const part = token().split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0))));
  } catch {
    return {};
  }
}

/** Forgets a token that the API has refused, by the code of its answer: it helps no more. The page asks to sign in. */
export function refused(code) {
  provider?.forget();
  paste('');
  dispatchEvent(new CustomEvent('signed-out', { detail: provider || code === 'token_expired' ? 'Your sign-in has ended. Sign in again.' : '' }));
}

function has(right) {
  const { claims: names, prefix } = config.rights;
  const said = claims();
  return names.flatMap((name) => (Array.isArray(said[name]) ? said[name] : String(said[name] ?? '').split(' '))).includes(`${prefix}${right}`);
}

/** Whether the token is an administrator's, who sees everybody's assets. */
export function isAdmin() { return has('admin'); }

/** Whether the token is a reviewer's, of everybody's assets or of the owner's own; administrators are. */
export function mayReview() { return has('review') || has('review-own') || isAdmin(); }

/** The user, as decisions name them: an owner may be a team. */
export function person() { return claims().sub ?? owner(); }

/** The owner whose assets are the user's own. */
export function owner() { return claims()[config.rights.owner] ?? ''; }

/**
 * One request; its answer as JSON.
 * @throws {Failure}
 */
export async function call(method, path, { body, query, signal } = {}) {
  const url = new URL(config.api + path);
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined && value !== null && value !== '') url.searchParams.set(name, value);
  let response;
  try {
    const token = await bearer();
    response = await fetch(url, {
      method,
      signal,
      headers: {
        accept: 'application/json',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    if (error.code === 'signed_out') {
      dispatchEvent(new CustomEvent('signed-out', { detail: error.message }));
      throw new Failure(error.message, { status: 401, code: error.code });
    }
    throw new Failure('The server cannot be reached.');
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) refused(answer.code);
  const wrong = (answer.errors ?? []).map((error) => `${error.path}: ${error.message}`).join('; ');
  throw new Failure([answer.detail ?? `The server answered ${response.status}.`, wrong].filter(Boolean).join(' '), { status: response.status, code: answer.code ?? 'failed' });
}
