// Uploads files to the Safelight API: presigned forms, requests and parts, straight to the store.
//
// No dependency, no build step:
//
//   import { Uploader } from './upload.js';
//   const uploader = new Uploader({ api: 'https://api.example.com', token: () => myToken });
//   const upload = uploader.add(file, { tags: ['holiday'] });
//   upload.addEventListener('change', () => console.log(upload.state, upload.sent, upload.size));
//   await upload.finished;
//
// An upload in parts continues after a reload: `uploader.restore()` brings back what was going on.
// The parts that the store has are asked for, so no byte is sent twice beyond a part.

const PARALLEL_FILES = 3;
const PARALLEL_PARTS = 4;
const ATTEMPTS = 8;
const SIGNED_OUT = 'signed_out'; // code of an error of `token`: the user is not signed in
const FIRST_WAIT = 500; // milliseconds; doubles, with jitter
const LONGEST_WAIT = 20_000;
const STALLED = 30_000; // milliseconds without a byte going out: the connection is dead
const TICKETS_AT_ONCE = 20;
const MEASURED_BYTES = 1_000_000; // least size of an upload that measures the connection
const NETWORKS = ['slow-2g', '2g', '3g', '4g'];
const DATABASE = 'safelight-uploads';
/** A file up to this size is kept by the browser until its upload ends; a larger one is picked again. */
const KEPT_BYTES = 300_000_000;

/** States of an upload. `lost` asks for the file again: the browser has forgotten it. */
export const State = Object.freeze({
  QUEUED: 'queued', ASKING: 'asking', SENDING: 'sending', FINISHING: 'finishing',
  WAITING: 'waiting', PAUSED: 'paused', LOST: 'lost', DONE: 'done', FAILED: 'failed', CANCELLED: 'cancelled',
});

const ENDED = new Set([State.DONE, State.FAILED, State.CANCELLED]);
/** Codes of an upload that has expired: another one can begin. A deleted one cannot begin again. */
const GONE = new Set(['upload_expired', 'asset_missing']);

/** What went wrong: `code` is stable, `message` is for a person, `retryable` says whether time helps. */
export class UploadFailure extends Error {
  constructor(message, { code = 'failed', status = 0, retryable = false } = {}) {
    super(message);
    Object.assign(this, { code, status, retryable });
  }
}

/** Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): clients do not come back together. */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempt);
}

/**
 * Uploads some files at a time.
 * @fires Uploader#change when any upload changes
 */
export class Uploader extends EventTarget {
  /**
   * @param {object} options
   * @param {string} options.api address of the API, without a slash at its end
   * @param {function(): (string|Promise<string>)} [options.token] the bearer token, asked for each request
   * @param {number} [options.files] files at a time
   * @param {number} [options.parts] parts at a time, of one file
   * @param {boolean} [options.keep] whether uploads survive a reload (IndexedDB)
   */
  constructor({ api, token = () => '', files = PARALLEL_FILES, parts = PARALLEL_PARTS, keep = true }) {
    super();
    Object.assign(this, { api, token, files, parts });
    this.memory = keep && globalThis.indexedDB ? new Memory() : null;
    this.uploads = [];
    this.rate = 0; // bytes a second of the last upload
    globalThis.addEventListener?.('online', () => this.uploads.forEach((upload) => upload.hurry()));
  }

  /**
   * Begins an upload, or continues one of the same file that a reload has cut off.
   * @param {File|Blob} file
   * @param {object} [labels] `name`, `tags`, `attributes`, `owner`, `recipe` of the asset; `route`
   *   (`direct`, `accelerated`, `distribution`); `method` (`put`, `post`, `multipart`) and `rate` (bytes a second) where the
   *   caller knows better than this module
   * @returns {Upload}
   */
  add(file, labels = {}) {
    const name = labels.name ?? file.name ?? 'upload';
    const print = fingerprint(file, name);
    const lost = this.uploads.find((upload) => upload.state === State.LOST && upload.print === print);
    if (lost) {
      lost.file = file;
      lost.resume();
      return lost;
    }
    const upload = new Upload(this, { file, name, labels: { ...labels }, print });
    hold(upload.id, { wait: true });
    this.#take(upload);
    upload.remember();
    return upload;
  }

  /**
   * Restores the uploads that a reload has stopped; they continue unless they were paused. If another
   * page of this browser works on an upload, this page takes it over when that page closes.
   */
  async restore() {
    const found = await this.memory?.all() ?? [];
    for (const { id } of found.sort((a, b) => a.began - b.began)) {
      if (this.uploads.some((upload) => upload.id === id)) continue;
      if (await hold(id, { wait: false })) await this.#restore(id);
      else hold(id, { wait: true }).then(() => this.#restore(id));
    }
    return this.uploads;
  }

  async #restore(id) {
    const kept = await this.memory.get(id); // as it is now: the other page may have ended it
    if (!kept) {
      release(id);
      return;
    }
    const upload = new Upload(this, kept);
    upload.restored = true;
    if (!upload.file) upload.set(State.LOST);
    else if (kept.paused) upload.set(State.PAUSED);
    this.#take(upload);
  }

  /** Removes an upload that has ended, so that a reload does not restore it. */
  remove(upload) {
    this.memory?.drop(upload.id);
    this.uploads = this.uploads.filter((other) => other !== upload);
    this.changed(upload);
  }

  #take(upload) {
    this.uploads.push(upload);
    this.next();
    this.changed(upload);
  }

  /** The rate of the last upload, or the browser's estimate: the API sets the size of parts by it. */
  line() {
    if (this.rate) return { rate: this.rate };
    const { downlink, effectiveType } = navigator.connection ?? {};
    // The browser gives the download rate, and at most 10: only a low value is of use.
    if (downlink > 0 && downlink < 8) return { rate: Math.max(1, Math.round((downlink * 1e6) / 8)) };
    return NETWORKS.includes(effectiveType) ? { network: effectiveType } : {};
  }

  next() {
    let running = this.uploads.filter((upload) => upload.running).length;
    for (const upload of this.uploads) {
      if (running >= this.files) return;
      if (upload.state !== State.QUEUED || upload.running) continue;
      running += 1;
      upload.start();
    }
  }

  changed(upload) {
    this.dispatchEvent(new CustomEvent('change', { detail: upload }));
  }

  /** One request to the API; its answer as JSON. */
  async call(method, path, { body, signal, key } = {}) {
    let response;
    try {
      const token = await this.token();
      response = await fetch(this.api + path, {
        method,
        signal,
        headers: {
          accept: 'application/json',
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key ? { 'idempotency-key': key } : {}),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      if (error.code === SIGNED_OUT) throw new UploadFailure('You are signed out.', { code: SIGNED_OUT, retryable: true });
      throw new UploadFailure('The server cannot be reached.', { code: 'unreachable', retryable: true });
    }
    if (response.status === 204) return null;
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw new UploadFailure(problemText(answer, response.status), {
      code: answer.code ?? 'failed',
      status: response.status,
      retryable: response.status === 408 || response.status === 429 || response.status >= 500,
    });
  }
}

/**
 * One file on its way.
 * @fires Upload#change when `state`, `sent` or `error` changes
 */
export class Upload extends EventTarget {
  constructor(uploader, { file, name, labels, print, id = randomId(), began = Date.now(), size, ticket = null, asset = null }) {
    super();
    Object.assign(this, { uploader, file, name, labels, print, id, began, ticket, asset });
    this.size = size ?? file.size;
    this.state = State.QUEUED;
    this.sent = 0;
    this.rate = 0;
    this.error = null;
    this.waits = new Set(); // what ends each pause
    this.done = new Map(); // bytes of finished parts, by number
    this.going = new Map(); // bytes sent of parts on their way
    this.finished = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.finished.catch(() => {}); // a caller may wait for the end, and need not
  }

  get running() {
    return this.control !== undefined && !ENDED.has(this.state);
  }

  get ended() {
    return ENDED.has(this.state);
  }

  start() {
    this.control = new AbortController();
    const control = this.control;
    this.error = null;
    this.renewed = false;
    this.#run(control.signal).then(
      () => this.#end(State.DONE),
      (error) => {
        if (control.signal.aborted) return;
        control.abort();
        this.error = error;
        this.#end(State.FAILED);
      },
    );
  }

  /** Stops sending; what the store has stays there. */
  pause() {
    if (this.ended || this.state === State.LOST) return;
    this.#halt(State.PAUSED);
    this.remember({ paused: true });
    this.uploader.next();
  }

  /** Goes on after a pause or a failure. */
  resume() {
    if (this.state === State.FAILED) {
      this.finished = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
      this.finished.catch(() => {});
    }
    this.control = undefined;
    this.set(State.QUEUED);
    this.remember({ paused: false });
    this.uploader.next();
  }

  /** Gives the upload up and removes what the store has of it. */
  async cancel() {
    if (this.ended && this.state !== State.FAILED) return;
    this.#halt(State.CANCELLED);
    this.uploader.memory?.drop(this.id);
    this.reject(new UploadFailure('The upload was cancelled.', { code: 'cancelled' }));
    this.uploader.next();
    try {
      // The response with its id may not have come yet: the same request gets the same response.
      if (!this.asset && this.wanted) this.asset = (await this.uploader.call('POST', '/uploads', { body: this.wanted, key: this.id })).asset;
      if (this.asset) await this.uploader.call('POST', `/uploads/${this.asset}/abort`);
    } catch {
      // It expires by itself.
    }
  }

  /** Ends the present waits between two attempts: the network is back. */
  hurry() {
    for (const wake of [...this.waits]) wake();
  }

  #halt(state) {
    this.control?.abort();
    this.control = undefined;
    this.going.clear();
    this.set(state);
  }

  #end(state) {
    this.control = undefined;
    if (state === State.DONE) {
      this.sent = this.size;
      if (this.size >= MEASURED_BYTES && this.rate >= 1) this.uploader.rate = Math.round(this.rate);
      this.uploader.memory?.drop(this.id);
      this.resolve(this.asset);
    } else this.reject(this.error);
    this.set(state);
    this.uploader.next();
  }

  set(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
    this.uploader.changed(this);
  }

  remember(more = {}) {
    this.uploader.memory?.put({
      id: this.id, name: this.name, labels: this.labels, print: this.print, began: this.began, size: this.size,
      ticket: this.ticket, asset: this.asset, file: this.size <= KEPT_BYTES ? this.file : null, paused: false, ...more,
    });
  }

  async #run(signal) {
    for (let anew = false; ; anew = true) {
      try {
        if (!this.asset) await this.#ask(signal);
        else if (!await this.#look(signal)) return; // the file has arrived before
        this.set(State.SENDING);
        if (this.ticket.method === 'multipart') await this.#sendParts(signal);
        else await this.#sendWhole(signal);
        return;
      } catch (error) {
        if (anew || !GONE.has(error.code)) throw error;
        this.#forget(); // the upload has expired or was deleted elsewhere: begin again
      }
    }
  }

  #forget() {
    this.uploader.memory?.drop(this.id);
    Object.assign(this, { asset: null, ticket: null, id: randomId() });
    hold(this.id, { wait: true });
    this.done.clear();
    this.going.clear();
  }

  async #ask(signal) {
    this.set(State.ASKING);
    const { tags, attributes, owner, method, recipe, route } = this.labels;
    const line = this.labels.rate ? { rate: this.labels.rate } : this.uploader.line();
    const ask = this.wanted = {
      name: this.name,
      size: this.size,
      type: mediaType(this.file, this.name),
      ...(tags?.length ? { tags } : {}),
      ...(attributes && Object.keys(attributes).length ? { attributes } : {}),
      ...(owner ? { owner } : {}),
      ...(method ? { method } : {}),
      ...(recipe ? { recipe } : {}),
      ...(route ? { route } : {}),
      ...line,
    };
    // The same key for each attempt: an answer that got lost makes no second asset.
    const made = await this.#retried(signal, () => this.uploader.call('POST', '/uploads', { body: ask, signal, key: this.id }));
    this.asset = made.asset;
    this.ticket = made;
    this.remember();
  }

  /** What the store has of an upload that was begun before; whether something is still to be sent. */
  async #look(signal) {
    const found = await this.#retried(signal, () => this.uploader.call('GET', `/uploads/${this.asset}`, { signal }));
    if (found.status !== 'waiting') return false;
    this.done.clear();
    this.ticket = found;
    let there = 0;
    for (const { number, size } of found.parts ?? []) {
      this.done.set(number, size);
      there += size;
    }
    if (!found.ticket && !found.tickets?.length && there < this.size) throw expired();
    this.#count();
    return true;
  }

  async #sendWhole(signal) {
    await this.#retried(signal, async () => {
      const { method, url, headers = {}, fields } = this.ticket.ticket;
      let body = this.file;
      if (method === 'POST') {
        body = new FormData();
        for (const [name, text] of Object.entries(fields)) body.append(name, text);
        body.append('file', this.file); // last: the store reads nothing after it
      }
      try {
        await this.#send({ method, url, headers, body, signal, told: (count) => this.#progress(0, count) });
      } catch (error) {
        if (error.status === 412) return; // it is there: the answer to an earlier attempt got lost
        if (error.status === 409) error.retryable = true; // an earlier attempt has not ended in the store
        // The ticket has expired: try once with another one.
        if (error.status === 403 && !this.renewed) {
          this.renewed = true;
          if (!await this.#look(signal)) return;
          error.retryable = true;
        }
        throw error;
      }
    });
  }

  async #sendParts(signal) {
    const size = this.ticket.part_size;
    const count = Math.max(1, Math.ceil(this.size / size));
    for (let round = 0; round < ATTEMPTS; round += 1) {
      const missing = [];
      for (let number = 1; number <= count; number += 1) if (!this.done.has(number)) missing.push(number);
      try {
        await this.#sendMissing(missing, size, signal);
        this.set(State.FINISHING);
        await this.#retried(signal, () => this.uploader.call('POST', `/uploads/${this.asset}/complete`, { signal }));
        return;
      } catch (error) {
        // The store no longer has the upload: another client has completed it, or it has expired.
        const lost = error.code === 'upload_incomplete' || error.code === 'NoSuchUpload';
        if (error.code === 'upload_finished') return; // by an attempt whose answer got lost
        if (!lost || round === ATTEMPTS - 1) throw error;
      }
      if (!await this.#look(signal)) return;
      this.set(State.SENDING);
    }
  }

  async #sendMissing(missing, size, signal) {
    // Those that came with the answer to the first request, then some at a time.
    const tickets = new Map((this.ticket.tickets ?? []).map((one) => [one.number, Promise.resolve(this.ticket)]));
    const queue = [...missing];
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const ticket = async (number, fresh) => {
      if (fresh || !tickets.has(number)) {
        const wanted = [number, ...queue.slice(0, TICKETS_AT_ONCE - 1)];
        const asked = this.uploader.call('POST', `/uploads/${this.asset}/parts`, { body: { numbers: wanted }, signal: either });
        for (const each of wanted) tickets.set(each, asked);
        asked.catch(() => wanted.forEach((each) => tickets.get(each) === asked && tickets.delete(each)));
      }
      const answer = await tickets.get(number);
      const found = answer.tickets.find((part) => part.number === number);
      if (!found) throw expired();
      return found;
    };
    const work = async () => {
      for (let number = queue.shift(); number !== undefined; number = queue.shift()) {
        const part = number;
        const slice = this.file.slice((part - 1) * size, Math.min(part * size, this.size));
        let fresh = false;
        await this.#retried(either, async () => {
          const { url, headers = {} } = await ticket(part, fresh);
          try {
            await this.#send({ method: 'PUT', url, headers, body: slice, signal: either, told: (sent) => this.#progress(part, sent) });
          } catch (error) {
            const first = !fresh;
            fresh = error.status === 403; // the ticket has expired: get another one
            if (fresh && first) error.retryable = true;
            throw error;
          }
        });
        this.going.delete(part);
        this.done.set(part, slice.size);
        this.#count();
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(this.uploader.parts, missing.length) }, work));
    } finally {
      stop.abort();
    }
  }

  /** Tries again while that may help, with growing pauses; the bytes of a failed part count as unsent. */
  async #retried(signal, attempt) {
    for (let number = 0; ; number += navigator.onLine === false ? 0 : 1) {
      const state = this.state;
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        // Wait until the user has signed in, without a time limit.
        const last = number + 1 >= ATTEMPTS && error.code !== SIGNED_OUT;
        if (!error.retryable || last) throw error;
        this.error = error;
        this.set(State.WAITING);
        await this.#pause(backoff(number), signal);
        signal.throwIfAborted();
        this.error = null;
        this.set(state === State.WAITING ? State.SENDING : state);
      }
    }
  }

  #pause(milliseconds, signal) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.waits.delete(end);
        signal.removeEventListener('abort', end);
        resolve();
      };
      // Offline: wait until the network is back, without a time limit.
      const timer = navigator.onLine === false ? undefined : setTimeout(end, milliseconds);
      this.waits.add(end);
      signal.addEventListener('abort', end, { once: true });
    });
  }

  #progress(part, sent) {
    this.going.set(part, sent);
    this.#count();
  }

  #count() {
    let sent = 0;
    for (const size of this.done.values()) sent += size;
    for (const size of this.going.values()) sent += size;
    const now = performance.now();
    if (this.counted && now > this.counted.time + 400) {
      const rate = Math.max(0, sent - this.counted.sent) / ((now - this.counted.time) / 1000);
      this.rate = this.rate ? 0.7 * this.rate + 0.3 * rate : rate;
      this.counted = { time: now, sent };
    }
    this.counted ??= { time: now, sent };
    this.sent = Math.min(sent, this.size);
    this.#changed();
  }

  /** One request to the store. XMLHttpRequest, because fetch does not tell how much was sent. */
  #send({ method, url, headers, body, signal, told }) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      let timer;
      const fail = (message, more) => reject(new UploadFailure(message, more));
      const alive = () => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          request.abort();
          fail('The connection stalled.', { code: 'stalled', retryable: true });
        }, STALLED);
      };
      const stop = () => request.abort();
      request.open(method, url);
      for (const [name, text] of Object.entries(headers)) {
        // The browser sets the length itself and forbids setting it.
        if (!['content-length', 'host'].includes(name.toLowerCase())) request.setRequestHeader(name, text);
      }
      request.upload.onprogress = (event) => {
        alive();
        told(Math.min(event.loaded, this.size));
      };
      request.onload = () => {
        if (request.status >= 200 && request.status < 300) resolve();
        else fail(storeText(request), { code: storeCode(request), status: request.status, retryable: request.status >= 500 || request.status === 429 || storeCode(request) === 'RequestTimeout' });
      };
      request.onerror = () => {
        told(0);
        fail('The connection was lost.', { code: 'unreachable', retryable: true });
      };
      request.onabort = () => fail('Stopped.', { code: 'stopped' });
      request.onloadend = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', stop);
      };
      if (signal.aborted) {
        fail('Stopped.', { code: 'stopped' });
        return;
      }
      signal.addEventListener('abort', stop, { once: true });
      alive();
      request.send(body);
    });
  }
}

const held = new Map(); // functions that release each upload, by its id

/** Locks an upload for this page; returns whether it could. Without a secure context there are no locks. */
function hold(id, { wait }) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    navigator.locks.request(`${DATABASE}/${id}`, { ifAvailable: !wait }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise((give) => { held.set(id, give); });
    });
  });
}

function release(id) {
  held.get(id)?.();
  held.delete(id);
}

/** Uploads that are going on, for after a reload. A browser without storage remembers nothing. */
class Memory {
  #database;

  async #open() {
    this.#database ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore('uploads', { keyPath: 'id' });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    return this.#database;
  }

  async #do(mode, action) {
    try {
      const database = await this.#open();
      return await new Promise((resolve, reject) => {
        const request = action(database.transaction('uploads', mode).objectStore('uploads'));
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    } catch {
      return undefined; // private windows, full disks: uploads work, and end with the page
    }
  }

  put(kept) { return this.#do('readwrite', (store) => store.put(kept)); }

  get(id) { return this.#do('readonly', (store) => store.get(id)); }

  async drop(id) {
    await this.#do('readwrite', (store) => store.delete(id));
    release(id);
  }

  async all() { return await this.#do('readonly', (store) => store.getAll()) ?? []; }
}

const TYPES = {
  jpg: 'image/jpeg', jpeg: 'image/jpeg', png: 'image/png', webp: 'image/webp', avif: 'image/avif', gif: 'image/gif',
  heic: 'image/heic', heif: 'image/heif', tif: 'image/tiff', tiff: 'image/tiff', bmp: 'image/bmp', jxl: 'image/jxl', svg: 'image/svg+xml',
  mp4: 'video/mp4', m4v: 'video/mp4', mov: 'video/quicktime', webm: 'video/webm', mkv: 'video/x-matroska', avi: 'video/x-msvideo',
};

/** The file's type; by its name where the browser knows none. */
export function mediaType(file, name = file.name ?? '') {
  return file.type || TYPES[name.split('.').pop().toLowerCase()] || 'application/octet-stream';
}

/** Tells whether a file picked again is the same one. */
export function fingerprint(file, name = file.name) {
  return `${name}\n${file.size}\n${file.lastModified ?? 0}`;
}

function expired() {
  return new UploadFailure('The upload has expired.', { code: 'upload_expired' });
}


function randomId() {
  // randomUUID is missing on pages without TLS.
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function problemText(problem, status) {
  const fields = (problem.errors ?? []).map((error) => `${error.path}: ${error.message}.`);
  return [problem.detail ?? problem.title ?? `The server answered ${status}.`, ...fields].join(' ');
}

function storeCode(request) {
  return /<Code>([A-Za-z]+)<\/Code>/.exec(request.responseText)?.[1] ?? `http_${request.status}`;
}

const STORE_WORDS = {
  EntityTooLarge: 'The file is larger than it said it would be.',
  EntityTooSmall: 'The file is smaller than it said it would be.',
  AccessDenied: 'The store refused the file: the ticket has expired or is not for this file.',
  SignatureDoesNotMatch: 'The store refused the file: the request is not the one that was signed.',
  RequestTimeTooSkewed: 'The clock of this device is wrong.',
  BadDigest: 'The file changed on its way.',
};

function storeText(request) {
  return STORE_WORDS[storeCode(request)] ?? `The store answered ${request.status} (${storeCode(request)}).`;
}
