// The frame: routes, theme, uploads, and the changes that come in.

import { assetView } from './asset.js';
import { bearer, call, config, isAdmin, mayReview, owner, paste, provider, refused, signedIn, start } from './api.js';
import { announce, button, fill, h, icon, toast } from './dom.js';
import { LibraryStore } from './library-store.js';
import { libraryView } from './library.js';
import { follow } from './live.js';
import { operationsView } from './operations.js';
import { ReviewStore } from './review-store.js';
import { reviewsView } from './reviews.js';
import { nameOf } from './tile.js';
import { Tray } from './tray.js';
import { State, Uploader, mediaType } from './upload.js';


const main = document.getElementById('main');
const store = new LibraryStore();
const reviews = new ReviewStore();
const changes = new EventTarget(); // `asset` with a changed asset, `gone` with an id
const latest = new Map(); // assets of this page's uploads, as they last were
const AT_ONCE = 20; // files that are added between two drawings of the page
let view = null;
let scrolled = 0;

// --- routes --------------------------------------------------------------------------------------

function navigate(hash, { quiet = false } = {}) {
  if (quiet) history.replaceState(history.state, '', hash);
  else location.hash = hash.slice(1);
}

/** A part of the page's URL, which may be cut off in the middle of a character. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function route() {
  const [path, search = ''] = location.hash.replace(/^#/, '').split('?');
  const query = new URLSearchParams(search);
  const parts = path.split('/').filter(Boolean).map(decoded);
  const name = parts[0] ?? 'library';
  if (view?.name === name && view.update) { // it follows the address itself
    announce(view.update({ id: parts[1], query }));
    return;
  }
  if (view?.name === 'library') scrolled = scrollY;
  view?.destroy();
  const shared = { store, changes, navigate, query, upload: { pick, photograph } };
  let next;
  if (name === 'asset' && parts[1]) next = assetView({ ...shared, id: parts[1] });
  else if (name === 'operations') next = operationsView(shared);
  else if (name === 'reviews') next = reviewsView({ ...shared, reviews, id: parts[1] });
  else next = libraryView(shared);
  const first = view === null;
  view = { name, ...next };
  fill(main, next.element);
  document.title = `${next.title} · Safelight`;
  for (const link of document.querySelectorAll('.tabs a')) {
    const current = link.dataset.view === name || (name === 'asset' && link.dataset.view === 'library');
    if (current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (!first) {
    main.focus({ preventScroll: true });
    announce(next.title);
  }
  scrollTo(0, name === 'library' ? scrolled : 0);
}

// --- reviews -------------------------------------------------------------------------------------

function startReviews() {
  const tab = document.querySelector('.tabs [data-view="reviews"]');
  tab.hidden = !mayReview();
  if (tab.hidden) return;
  const badge = h('span.count-badge', { hidden: true });
  const words = h('span.unseen');
  tab.append(badge, words);
  const count = () => {
    const number = reviews.ids.length;
    const text = number > 99 || !reviews.ended ? '99+' : String(number);
    badge.hidden = !number;
    badge.dataset.tone = reviews.escalated ? 'bad' : '';
    fill(badge, h('span', { aria: { hidden: 'true' } }, text));
    words.textContent = number ? ` ${text === '99+' ? 'more than 99' : text} open${reviews.escalated ? `, ${reviews.escalated} escalated` : ''}` : '';
  };
  reviews.addEventListener('change', count);
  changes.addEventListener('asset', ({ detail: asset }) => {
    if (asset.status === 'review' || reviews.ids.some((id) => id.startsWith(asset.id))) reviews.soon();
  });
  changes.addEventListener('gone', ({ detail: id }) => { if (reviews.ids.some((one) => one.startsWith(id))) reviews.soon(); });
  reviews.watch();
}

// --- theme ---------------------------------------------------------------------------------------

const THEMES = { auto: ['auto', 'Theme: as the system'], light: ['sun', 'Theme: light'], dark: ['moon', 'Theme: dark'] };

function setTheme(theme) {
  const [picture, label] = THEMES[theme];
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const toggle = document.getElementById('theme');
  fill(toggle, icon(picture));
  toggle.setAttribute('aria-label', label);
  toggle.title = label;
  toggle.onclick = () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(theme) + 1) % names.length];
    localStorage.setItem('safelight-theme', next);
    setTheme(next);
  };
}

// --- signing in ----------------------------------------------------------------------------------

/** @param {string} [reason] the reason, as a sentence */
function askToSignIn(reason) {
  if (document.getElementById('sign-in')) return;
  const input = h('input', { type: 'password', autocomplete: 'off', required: true, aria: { label: 'Token' } });
  const submit = h('button.button.primary', {}, 'Sign in');
  const words = h('p', { role: 'status' }, reason || (config.sign_in ? 'You go to the page of your organisation, and come back.' : 'Paste a token of your issuer. This tab forgets it when it is closed.'));
  const go = async (event) => {
    if (config.sign_in) {
      event.preventDefault();
      submit.disabled = true;
      if (provider) await provider.leave();
      else location.reload(); // the provider's discovery document could not be read
      return;
    }
    paste(input.value.trim());
    location.reload();
  };
  const dialog = h('dialog.dialog', { id: 'sign-in', aria: { labelledby: 'sign-in-title' } },
    h('form', { method: 'dialog', on: { submit: go } },
      h('h2', { id: 'sign-in-title' }, 'Sign in'),
      words,
      config.sign_in ? null : h('label.field', {}, icon('key'), input),
      h('div.actions', {}, submit)));
  document.body.append(dialog);
  dialog.showModal();
}

function showAccount() {
  const account = document.getElementById('account');
  if (config.token || !signedIn()) return;
  const label = `Signed in as ${provider?.name || owner() || 'somebody'}. Sign out`;
  account.hidden = false;
  account.setAttribute('aria-label', label);
  account.title = label;
  fill(account, icon('key'));
  account.onclick = async () => {
    paste('');
    if (!await provider?.end()) location.reload();
  };
}

// --- uploads -------------------------------------------------------------------------------------

let uploader;
let tray;

async function add(files) {
  const empty = [];
  for (const [index, file] of files.entries()) {
    // The size alone takes a millisecond: the browser asks the disk for it.
    if (index % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => { setTimeout(resolve); });
    if (file.size > 0) uploader.add(file);
    else empty.push(file.name);
  }
  if (!empty.length) return;
  toast(`${empty.length > 1 ? `${empty.length} files are` : `${empty[0]} is`} empty: there is nothing to upload.`, { bad: true });
}

/** The dropped files, and the pictures and videos in dropped folders. */
async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  const walk = async (entry, inside) => {
    if (entry.isFile) {
      if (entry.name.startsWith('.')) return; // systems leave such files in folders
      const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
      if (!inside || /^(image|video)\//.test(mediaType(file))) found.push(file);
      return;
    }
    const reader = entry.createReader(); // gives a hundred at a time
    for (;;) {
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (!some.length) return;
      for (const each of some) await walk(each, true);
    }
  };
  for (const entry of entries) await walk(entry, false);
  if (!found.length) toast('There are no pictures or videos in it.', { bad: true });
  return found;
}

function choose(attributes, chosen) {
  const input = h('input', { type: 'file', ...attributes });
  input.addEventListener('change', () => chosen([...input.files]));
  input.click();
}

function pick() { choose({ multiple: true, accept: 'image/*,video/*,.heic,.heif,.mkv,.avif,.jxl' }, add); }

function photograph() { choose({ accept: 'image/*', capture: 'environment' }, add); }

function startUploads() {
  uploader = new Uploader({ api: config.api, token: bearer });
  tray = new Tray({
    element: document.getElementById('tray'),
    uploader,
    assetOf: (upload) => latest.get(upload.asset),
    again: (upload) => choose({}, ([file]) => {
      const found = uploader.add(file);
      if (found !== upload) toast(`${file.name} is another file than the one that was being uploaded.`, { bad: true });
    }),
  });
  const known = new Set();
  uploader.addEventListener('change', ({ detail: upload }) => {
    if (upload.error?.status === 401) refused(upload.error.code);
    if (!upload.asset) return;
    if (!known.has(upload.asset) && !upload.restored) {
      known.add(upload.asset);
      latest.set(upload.asset, null);
      if (upload.file?.type.startsWith('image/')) store.previews.set(upload.asset, tray.preview(upload));
      store.apply([expected(upload)]);
    } else if (!latest.has(upload.asset)) latest.set(upload.asset, null);
    store.setProgress(upload.asset, upload.ended ? null : upload.sent / upload.size);
    if (upload.state === State.CANCELLED) store.remove(upload.asset);
    if (upload.state === State.DONE && !latest.get(upload.asset)) {
      const known = store.assets.get(upload.asset);
      // The event of the asset may have come before the response with its id, or before a reload.
      if (known?.revision) latest.set(upload.asset, known);
      else if (upload.restored) refresh(upload.asset);
    }
    if (upload.state === State.DONE) store.arrived(upload.asset);
  });
  addEventListener('beforeunload', (event) => {
    if (uploader.uploads.some((upload) => !upload.ended && upload.state !== State.LOST && !upload.file)) event.preventDefault();
  });
  uploader.restore();
}

/** Whether an upload is in progress, or has arrived and has no verdict yet. */
function awaited(upload) {
  if (upload.state !== State.DONE) return upload.running;
  return ['waiting', 'uploaded', 'processing'].includes(latest.get(upload.asset)?.status ?? 'waiting');
}

/** What the list will say of an upload, before it is asked. */
function expected(upload) {
  return {
    id: upload.asset, status: 'waiting', media: upload.file?.type.startsWith('video/') ? 'video' : 'image', owner: owner(),
    original: { name: upload.name, key: `uploads/${upload.name}`, bytes: upload.size, warnings: [] }, verdict: null, tags: upload.labels.tags ?? [],
    attributes: {}, placeholder: null, renditions: [], video: null, created_at: new Date().toISOString(), updated_at: '', revision: 0,
  };
}

async function refresh(id) {
  try {
    take([await call('GET', `/assets/${id}`)], []);
  } catch {
    // The change itself will come.
  }
}

function startDrops() {
  const veil = document.getElementById('veil');
  let depth = 0;
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragenter', (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  addEventListener('dragleave', (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    veil.hidden = depth > 0 ? false : true;
  });
  addEventListener('dragover', (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    filesOf(event.dataTransfer).then(add).catch((error) => toast(`The files cannot be read: ${error.message}`, { bad: true }));
  });
  addEventListener('paste', (event) => {
    const files = [...event.clipboardData?.files ?? []];
    if (!files.length) return;
    event.preventDefault();
    add(files);
  });
  const primary = button('Upload', 'upload', pick, { kind: 'primary' });
  const place = document.getElementById('choose');
  primary.id = 'choose';
  place.replaceWith(primary);
}

// --- changes -------------------------------------------------------------------------------------

function take(assets, gone) {
  for (const asset of assets) {
    if (latest.has(asset.id)) {
      const before = latest.get(asset.id);
      latest.set(asset.id, asset);
      if (before?.status !== asset.status && asset.status === 'rejected') announce(`${nameOf(asset)} was rejected: ${asset.verdict?.message ?? ''}`);
      if (before?.status !== asset.status && asset.status === 'accepted') announce(`${nameOf(asset)} is ready`);
    }
    changes.dispatchEvent(new CustomEvent('asset', { detail: asset }));
  }
  store.apply(assets);
  for (const id of gone) {
    store.remove(id);
    changes.dispatchEvent(new CustomEvent('gone', { detail: id }));
  }
  tray.refresh();
}

const LIVE = { on: 'Live', slow: 'Every few seconds', idle: 'Twice a minute', bad: 'No connection', off: 'Connecting' };

function showLive(state) {
  document.getElementById('live').dataset.state = state;
  document.getElementById('live-text').textContent = LIVE[state];
}

// --- start ---------------------------------------------------------------------------------------

async function begin() {
  setTheme(THEMES[localStorage.getItem('safelight-theme')] ? localStorage.getItem('safelight-theme') : 'auto');
  addEventListener('signed-out', (event) => askToSignIn(event.detail));
  let trouble;
  try {
    trouble = await start();
  } catch (error) {
    fill(main, h('div.empty', {}, icon('warn'), h('h1', {}, 'The console cannot start'), h('p', {}, error.message)));
    return;
  }
  if (provider?.before && !signedIn() && !trouble) { // a reload: the provider knows who this is
    await provider.leave();
    return;
  }
  document.querySelector('.tabs [data-view="operations"]').hidden = signedIn() && !isAdmin();
  showAccount();
  startReviews();
  startUploads();
  startDrops();
  history.scrollRestoration = 'manual';
  addEventListener('hashchange', route);
  route();
  if (!signedIn()) askToSignIn(trouble);
  if (signedIn()) follow(take, showLive, () => store.busy || uploader.uploads.some(awaited));
}

begin();
