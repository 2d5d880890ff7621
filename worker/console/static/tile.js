// One asset in the grid.

import { fill, h, icon } from './dom.js';
import { STATUS, bytes, clock } from './format.js';
import { placeholderUrl } from './placeholder.js';

/** The name that people know an asset by. */
export function nameOf(asset) {
  return asset.original.name || asset.original.key.split('/').pop() || asset.id;
}

/** The smallest rendition that fills so many pixels across, in a format that every browser shows. */
export function thumbnailOf(asset, pixels) {
  const shown = asset.renditions
    .filter((one) => ['webp', 'jpeg', 'png', 'gif'].includes(one.format))
    .sort((a, b) => a.width - b.width || a.bytes - b.bytes);
  return shown.find((one) => one.width >= pixels) ?? shown.at(-1);
}

/** Draws an asset into a tile, whatever was in it before. */
export function paint(tile, asset, { preview = '', progress = null } = {}) {
  tile.href = `#/asset/${encodeURIComponent(asset.id)}`;
  const status = STATUS[asset.status] ?? STATUS.uploaded;
  const name = nameOf(asset);
  const held = asset.status === 'review'; // its files are closed: whoever asks for one is refused
  const picture = held ? null : thumbnailOf(asset, 240);
  const seen = tile.querySelector('img.picture');
  const source = picture?.url ?? (asset.status === 'rejected' ? '' : preview);
  // The same file, wherever its signed address has moved to: what is on the screen stays there.
  const same = seen && source && seen.src.split('?')[0] === new URL(source, location.href).href.split('?')[0];
  const frame = h('span.frame', {},
    !same && asset.placeholder ? h('img.blur', { src: placeholderUrl(asset.placeholder.thumbhash), alt: '' }) : null,
    same ? seen : source ? image(source) : null,
    source ? null : why(asset, status),
    held && !source && asset.placeholder ? icon('lock') : null,
    ['accepted', 'published'].includes(asset.status) ? null : h('span.badge', { data: { tone: status.tone } }, status.label),
    asset.video ? h('span.length', {}, clock(asset.video.duration_ms)) : null,
    progress === null ? null : h('progress', { max: 1, value: progress, aria: { label: `Upload of ${name}` } }));
  const { width, height } = asset.video ?? asset.original;
  const facts = [width ? `${width} × ${height}` : null, bytes(asset.original.bytes), asset.tags[0] ? `#${asset.tags[0]}` : null].filter(Boolean).join(' · ');
  fill(tile, frame, h('span.caption', {}, h('span.name', { title: name }, name), h('span.facts', {}, facts)));
  tile.setAttribute('aria-label', `${name}, ${status.label}${asset.verdict && asset.status === 'rejected' ? `: ${asset.verdict.message}` : ''}`);
}

function image(source) {
  const made = h('img.picture', { alt: '', decoding: 'async', data: { shown: 'false' } });
  const show = () => { made.dataset.shown = 'true'; };
  made.addEventListener('load', show, { once: true });
  made.addEventListener('error', () => made.replaceWith(icon('image')), { once: true });
  made.src = source;
  if (made.complete) show();
  return made;
}

function why(asset, status) {
  if (asset.placeholder && asset.status !== 'rejected') return null;
  const bad = asset.status === 'rejected';
  const text = bad && asset.verdict ? asset.verdict.message : '';
  return h('span.why', { data: { tone: bad ? 'bad' : status.tone } }, icon(bad ? 'warn' : asset.media === 'video' ? 'play' : 'image'), text ? h('span', {}, text) : null);
}
