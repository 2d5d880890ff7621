// Signs people in at an OpenID provider: authorization code with PKCE, no secret, tokens in memory only.

import * as oauth from './vendor/oauth4webapi.mjs';

const PENDING = 'safelight-sign-in'; // the values that check the provider's response after the redirect
const BEFORE = 'safelight-signed-in'; // this tab was signed in: after a reload it redirects to the provider at once
const EARLY = 60_000; // milliseconds before a token expires that it is renewed; at most a quarter of its lifetime
const SKEW = 30; // seconds by which clocks may differ
const REVOKING = 3_000; // milliseconds that signing out waits for the provider

/** Sign-in has failed; the message is a sentence for the user. `code` is stable. */
export class SignInFailure extends Error {
  constructor(message, code, options) {
    super(message, options);
    this.name = 'SignInFailure';
    this.code = code;
  }
}

export class SignIn {
  #settings;
  #server;
  #client;
  #tokens = null; // { access, refresh, id, early, until }
  #renewing = null;

  /**
   * Reads the provider's discovery document.
   * @param {{issuer: string, client_id: string, scope?: string, audience?: string}} settings
   * @throws {SignInFailure}
   */
  static async at(settings) {
    const made = new SignIn();
    made.#settings = settings;
    made.#client = { client_id: settings.client_id, [oauth.clockTolerance]: SKEW };
    const issuer = new URL(settings.issuer);
    made.#server = await worded(async () => oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, made.#options())));
    return made;
  }

  /** Whether somebody is signed in. */
  get active() { return this.#tokens !== null; }

  /** Whether this tab was signed in before it was loaded again. */
  get before() { return sessionStorage.getItem(BEFORE) !== null; }

  /** The current access token, without renewing it. */
  get access() { return this.#tokens?.access ?? ''; }

  /** The name of the user, from the provider. */
  get name() {
    const said = this.#tokens?.claims ?? {};
    return said.email ?? said.preferred_username ?? said.name ?? said.sub ?? '';
  }

  /** Leaves the page for the provider, which sends people back to it. */
  async leave() {
    const pending = { verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce(), hash: location.hash };
    sessionStorage.setItem(PENDING, JSON.stringify(pending));
    const { client_id, scope = 'openid', audience } = this.#settings;
    const url = new URL(this.#server.authorization_endpoint);
    const asked = {
      response_type: 'code', client_id, scope, audience, redirect_uri: here(), state: pending.state, nonce: pending.nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(pending.verifier), code_challenge_method: 'S256',
    };
    for (const [name, value] of Object.entries(asked)) if (value) url.searchParams.set(name, value);
    location.assign(url);
  }

  /**
   * Reads the provider's response from the page's URL and removes it, if there is one.
   * @throws {SignInFailure} the response is not to this tab's request, or it is a refusal
   */
  async arrive() {
    const { searchParams: answer, pathname } = new URL(location.href);
    if (!answer.has('code') && !answer.has('error')) return;
    const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? 'null');
    sessionStorage.removeItem(PENDING); // a response can be used once
    history.replaceState(history.state, '', pathname + (pending?.hash || location.hash));
    if (!pending) throw new SignInFailure('This sign-in was not begun in this tab, or was ended already.', 'sign_in_unexpected');
    await worded(async () => {
      const checked = oauth.validateAuthResponse(this.#server, this.#client, answer, pending.state);
      const response = await oauth.authorizationCodeGrantRequest(this.#server, this.#client, oauth.None(), checked, here(), pending.verifier, this.#options());
      const result = await oauth.processAuthorizationCodeResponse(this.#server, this.#client, response, { expectedNonce: pending.nonce, requireIdToken: true });
      this.#take(result, oauth.getValidatedIdTokenClaims(result));
    });
  }

  /**
   * An access token that is valid for a while, renewed if need be.
   * @throws {SignInFailure} the user is no longer signed in, or the provider cannot be reached
   */
  async token() {
    if (this.#tokens && Date.now() >= this.#tokens.early) {
      this.#renewing ??= this.#renew().finally(() => { this.#renewing = null; });
      await this.#renewing;
    }
    if (!this.#tokens) throw new SignInFailure('You are signed out. Sign in again.', 'signed_out');
    return this.#tokens.access;
  }

  /** Deletes the tokens and revokes them at the provider. Returns whether the page redirects there. */
  async end() {
    const { id, refresh } = this.#tokens ?? {};
    this.forget();
    sessionStorage.removeItem(BEFORE);
    const { revocation_endpoint: revocation, end_session_endpoint: ending } = this.#server;
    if (refresh && revocation) await oauth.revocationRequest(this.#server, this.#client, oauth.None(), refresh, { ...this.#options(), signal: AbortSignal.timeout(REVOKING) }).catch(() => {});
    if (!ending) return false;
    const url = new URL(ending);
    // Cognito uses other names for the last two: client_id and logout_uri.
    const asked = { id_token_hint: id, client_id: this.#settings.client_id, post_logout_redirect_uri: here(), logout_uri: here() };
    for (const [name, value] of Object.entries(asked)) if (value) url.searchParams.set(name, value);
    location.assign(url);
    return true;
  }

  /** Deletes the tokens, because the API no longer accepts them. */
  forget() { this.#tokens = null; }

  async #renew() {
    const { refresh, until, id, claims } = this.#tokens;
    const over = () => Date.now() >= until;
    if (!refresh) {
      if (over()) this.forget();
      return;
    }
    try {
      await worded(async () => {
        const response = await oauth.refreshTokenGrantRequest(this.#server, this.#client, oauth.None(), refresh, this.#options());
        const result = await oauth.processRefreshTokenResponse(this.#server, this.#client, response);
        // A user who has signed out meanwhile stays signed out.
        if (this.active) this.#take({ refresh_token: refresh, id_token: id, ...result }, oauth.getValidatedIdTokenClaims(result) ?? claims);
      });
    } catch (error) {
      if (error.code !== 'provider_unreachable') this.forget();
      else if (over()) throw error;
    }
  }

  #take(result, claims) {
    const life = (result.expires_in ?? Infinity) * 1000;
    const until = Date.now() + life;
    this.#tokens = { access: result.access_token, refresh: result.refresh_token, id: result.id_token, claims, until, early: until - Math.min(EARLY, life / 4) };
    sessionStorage.setItem(BEFORE, '1');
  }

  /** A provider on this machine may speak plain HTTP: the traffic does not leave it. */
  #options() {
    return { [oauth.allowInsecureRequests]: ['127.0.0.1', 'localhost'].includes(new URL(this.#settings.issuer).hostname) };
  }
}

/** The redirect URL that the provider knows: the page's URL without query and fragment. */
function here() { return new URL('.', location.href).href.replace(/[?#].*$/, ''); }

/** Turns errors of the provider and of the checks of its responses into sentences. */
async function worded(work) {
  try {
    return await work();
  } catch (error) {
    throw failure(error);
  }
}

function failure(error) {
  const made = (message, code) => new SignInFailure(message, code, { cause: error });
  if (error instanceof oauth.AuthorizationResponseError) return made(`The provider refused: ${error.error_description ?? error.error}.`, 'sign_in_refused');
  if (error instanceof oauth.ResponseBodyError) {
    return error.error === 'invalid_grant'
      ? made('The sign-in has expired or was used before. Sign in again.', 'sign_in_expired')
      : made(`The provider refused: ${error.error_description ?? error.error}.`, 'sign_in_refused');
  }
  // A failure of the provider's server may pass soon.
  const broken = error.code === oauth.RESPONSE_IS_NOT_CONFORM && error.cause?.status >= 500;
  if (error instanceof oauth.OperationProcessingError && error.code && !broken) return made(`The provider's answer is not valid here: ${error.message}.`, 'sign_in_invalid');
  return made('The provider that signs people in cannot be reached.', 'provider_unreachable');
}
