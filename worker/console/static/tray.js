// The uploads of this page: progress, pause, resume, and what went wrong, in words.

import { button, fill, h, icon } from './dom.js';
import { bytes, duration, plural } from './format.js';
import { State } from './upload.js';

const ROWS = 60; // more rows are not read, and each one makes the browser decode a picture

const WORDS = {
  [State.QUEUED]: 'Waits for its turn',
  [State.ASKING]: 'Asks for a place',
  [State.FINISHING]: 'Finishing',
  [State.PAUSED]: 'Paused',
  [State.CANCELLED]: 'Cancelled',
  [State.DONE]: 'Uploaded',
};

/** Uploads that have a row, newest first. Of very many only those in progress or in need of the user. */
function chosen(uploads) {
  if (uploads.length <= ROWS) return [...uploads].reverse();
  const order = (upload) => (upload.running ? 0 : [State.FAILED, State.LOST, State.PAUSED].includes(upload.state) ? 1 : upload.ended ? 3 : 2);
  const groups = [[], [], [], []];
  for (const upload of uploads) groups[order(upload)].push(upload);
  return groups.flat().slice(0, ROWS);
}

/** A name without direction marks, which make it look like another name. */
function shown(name) {
  return name.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '_');
}

export class Tray {
  /**
   * @param {Uploader} uploader
   * @param {function(Upload): (object|undefined)} assetOf what has become of an upload
   * @param {function(Upload)} again lets the person choose a file that was forgotten
   */
  constructor({ element, uploader, assetOf, again }) {
    Object.assign(this, { element, uploader, assetOf, again });
    this.rows = new Map();
    this.title = h('h2');
    this.list = h('ul');
    this.rest = h('p.rest', { hidden: true });
    this.toggle = button('Hide the list of uploads', 'chevron', () => this.#fold(element.dataset.open === 'true'), { quiet: true });
    const clear = button('Remove what has ended', 'close', () => this.#clear(), { quiet: true });
    fill(element, h('header', {}, this.title, this.toggle, clear), this.list, this.rest);
    this.#fold(false);
    uploader.addEventListener('change', (event) => this.#schedule(event.detail));
    this.pending = new Set();
  }

  #fold(closed) {
    this.element.dataset.open = String(!closed);
    this.toggle.setAttribute('aria-expanded', String(!closed));
    this.toggle.setAttribute('aria-label', closed ? 'Show the list of uploads' : 'Hide the list of uploads');
  }

  #clear() {
    for (const upload of [...this.uploader.uploads]) if (upload.ended) this.uploader.remove(upload);
    this.#draw();
  }

  /** Progress comes in hundreds a second: one drawing a frame is enough. */
  #schedule(upload) {
    if (!this.pending.size) requestAnimationFrame(() => this.#draw());
    this.pending.add(upload);
  }

  refresh() {
    for (const upload of this.uploader.uploads) this.#schedule(upload);
  }

  #draw() {
    this.pending.clear();
    const uploads = this.uploader.uploads;
    this.element.hidden = uploads.length === 0;
    const busy = uploads.filter((upload) => !upload.ended && upload.state !== State.PAUSED).length;
    const failed = uploads.filter((upload) => upload.state === State.FAILED).length;
    this.title.textContent = busy ? `Uploading ${plural(busy, 'file')}` : failed ? `${plural(failed, 'upload')} failed` : `${plural(uploads.length, 'upload')}`;
    const shown = chosen(uploads);
    const kept = new Set(shown);
    for (const [upload, row] of this.rows) {
      if (kept.has(upload)) continue;
      row.element.remove();
      this.rows.delete(upload);
    }
    shown.forEach((upload, index) => {
      let row = this.rows.get(upload);
      if (!row) {
        row = this.#row(upload);
        this.rows.set(upload, row);
      }
      const there = this.list.children[index];
      if (there !== row.element) this.list.insertBefore(row.element, there ?? null);
      this.#paint(upload, row);
    });
    this.rest.hidden = shown.length === uploads.length;
    this.rest.textContent = `and ${plural(uploads.length - shown.length, 'more file')}`;
  }

  #row(upload) {
    const row = {
      thumb: upload.file?.type.startsWith('image/') && upload.size < 30e6 ? h('img.thumb', { src: this.preview(upload), alt: '' }) : h('span.thumb', {}, icon(upload.file?.type.startsWith('video/') ? 'play' : 'image')),
      line: h('span'),
      bar: h('progress', { max: 1, aria: { label: `Upload of ${upload.name}` } }),
      buttons: h('span.buttons'),
      drawn: '',
    };
    row.thumb.addEventListener('error', () => row.thumb.replaceWith(h('span.thumb', {}, icon('image'))), { once: true });
    row.element = h('li', {}, row.thumb, h('span.what', {}, h('b', { title: shown(upload.name) }, shown(upload.name)), row.line), row.buttons, row.bar);
    return row;
  }

  /** An object URL of a picture that is being uploaded; one for the tray and the grid. */
  preview(upload) {
    upload.preview ??= URL.createObjectURL(upload.file);
    return upload.preview;
  }

  #paint(upload, row) {
    const asset = upload.asset ? this.assetOf(upload) : undefined;
    row.line.textContent = this.#words(upload, asset);
    row.line.dataset.bad = String(upload.state === State.FAILED || upload.state === State.LOST || asset?.status === 'rejected');
    row.bar.value = upload.size ? upload.sent / upload.size : 0;
    row.bar.hidden = upload.ended;
    const key = `${upload.state}/${asset?.status}`;
    if (row.drawn === key) return; // a button that is being pressed stays
    row.drawn = key;
    const small = { quiet: true, kind: 'small' };
    const named = (verb) => `${verb} ${upload.name}`;
    const buttons = [];
    if (upload.state === State.PAUSED) buttons.push(button(named('Resume'), 'play', () => upload.resume(), small));
    else if (upload.state === State.FAILED) buttons.push(button(named('Try again:'), 'retry', () => upload.resume(), small));
    else if (upload.state === State.LOST) buttons.push(button(named('Choose again:'), 'upload', () => this.again(upload), small));
    else if (!upload.ended) buttons.push(button(named('Pause'), 'pause', () => upload.pause(), small));
    if (upload.state === State.DONE) {
      buttons.push(h('a.button.small.round', { href: `#/asset/${encodeURIComponent(upload.asset)}`, aria: { label: named('Show') } }, icon(asset?.status === 'rejected' ? 'warn' : 'check')));
    } else buttons.push(button(named(upload.ended ? 'Remove' : 'Cancel'), 'close', () => (upload.ended ? this.uploader.remove(upload) : upload.cancel()), small));
    const focused = row.buttons.contains(document.activeElement);
    fill(row.buttons, buttons);
    if (focused) row.buttons.firstElementChild?.focus();
  }

  #words(upload, asset) {
    switch (upload.state) {
      case State.SENDING: {
        const left = upload.rate ? ((upload.size - upload.sent) / upload.rate) * 1000 : NaN;
        return [`${bytes(upload.sent)} of ${bytes(upload.size)}`, upload.rate ? `${bytes(upload.rate)}/s` : '', left > 1500 ? `${duration(left)} left` : ''].filter(Boolean).join(' · ');
      }
      case State.WAITING: return `${upload.error?.message ?? ''} Tries again by itself.`;
      case State.FAILED: return upload.error?.message ?? 'Failed';
      case State.LOST: return 'The page was closed meanwhile. Choose the file again to continue.';
      case State.DONE: {
        if (asset?.status === 'rejected') return `Rejected: ${asset.verdict?.message ?? ''}`;
        if (['accepted', 'published', 'review'].includes(asset?.status)) return `Ready · ${bytes(upload.size)}`;
        return asset?.status === 'processing' ? 'Processing' : `${WORDS[State.DONE]} · ${bytes(upload.size)}`;
      }
      default: return WORDS[upload.state] ?? '';
    }
  }
}
