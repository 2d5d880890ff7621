// Cards that the pages of an asset and of a review share.

import { h } from './dom.js';
import { ago, moment, number, words } from './format.js';
import { scale } from './plot.js';

/** A card with a heading; `action` goes to the right of it. */
export function card(title, body, action) {
  const id = `card-${title.toLowerCase().replace(/\W+/g, '-')}`;
  return h('section.card', { aria: { labelledby: id } }, h('header', {}, h('h2', { id }, title), action ?? null), h('div.body', {}, body));
}

/** Gives a picture the room that its largest rendition would take, whichever one is in it. */
export function fitted(element, { width, height }) {
  element.style.aspectRatio = `${width} / ${height}`;
  element.style.width = `min(100%, ${width}px, calc(var(--stage) * ${width / height}))`;
  return element;
}

const TAG_WORDS = {
  camera_make: 'Make', camera_model: 'Camera', lens: 'Lens', software: 'Software', taken_at: 'Taken', f_number: 'Aperture', iso: 'ISO', focal_length_mm: 'Focal length', exposure_seconds: 'Exposure', title: 'Title', caption: 'Caption', artist: 'Artist', copyright: 'Copyright', keywords: 'Keywords', gps: 'Place',
};

function tagText(name, value) {
  if (name === 'exposure_seconds') return value < 1 ? `1/${Math.round(1 / value)} s` : `${number(value)} s`;
  if (name === 'f_number') return `f/${number(value)}`;
  if (name === 'focal_length_mm') return `${number(value)} mm`;
  if (name === 'gps') return `${value.latitude.toFixed(4)}, ${value.longitude.toFixed(4)}`;
  if (name === 'taken_at') return moment(value) || value;
  return Array.isArray(value) ? value.join(', ') : String(value);
}

/** What a file says of itself, as pairs of a term and a text. */
export function metadataRows(metadata) {
  return Object.entries(metadata ?? {})
    .filter(([name, value]) => TAG_WORDS[name] && value !== null && value !== '' && !(Array.isArray(value) && !value.length))
    .map(([name, value]) => [TAG_WORDS[name], tagText(name, value)]);
}

/** Width, height and megapixels. */
export function sizeText({ width, height }) {
  return `${number(width)} × ${number(height)}, ${number(Math.round((width * height) / 1e5) / 10)} megapixels`;
}

// --- what models saw -----------------------------------------------------------------------------

const OUTCOMES = { pass: ['Pass', 'good'], blur: ['Blur', 'warn'], uncertain: ['Uncertain', 'warn'], hold: ['Hold', 'warn'], reject: ['Reject', 'bad'] };
const TIERS = {
  earlier: 'By what was decided about the same picture, or one that looks the same',
  classifier: 'By the classifier of this deployment',
  rekognition: 'By Amazon Rekognition',
  person: 'By a person',
  unavailable: 'No moderator could be asked, so the recipe decided',
};
const CROSSED = { blur: 'Pictures are blurred from', uncertain: 'The next tier is asked from', hold: 'Pictures are held from', reject: 'Pictures are rejected from' };

const percent = (confidence) => `${number(Math.round(confidence * 10) / 10)} %`;

/** The badge of an outcome of moderation. */
export function outcomeBadge(outcome) {
  const [label, tone] = OUTCOMES[outcome] ?? [words(outcome), 'quiet'];
  return h('span.badge', { data: { tone } }, label);
}

/** What moderation decided and why, with the thresholds that were crossed; null without moderation. */
export function moderationCard(moderation) {
  if (!moderation) return null;
  const { labels = [], crossed = [], earlier } = moderation;
  const limits = new Map(crossed.map((one) => [one.category, one]));
  const model = [moderation.model, moderation.model_version].filter(Boolean).join(' ');
  return card('Moderation', [
    h('p.seen-by', {}, h('span', {}, TIERS[moderation.tier] ?? words(moderation.tier)), model ? h('span.mono', {}, model) : null,
      moderation.time ? h('time', { dateTime: moderation.time, title: moment(moderation.time) }, ago(moderation.time)) : null,
      earlier ? h('a', { href: `#/asset/${encodeURIComponent(earlier)}` }, 'Show that one') : null,
      moderation.error ? h('code', {}, moderation.error) : null),
    moderation.sampled ? h('p.soft.small', {}, 'It passed. As a sample, a further moderator is asked.') : null,
    labels.length ? h('ul.seen', {}, labels.map((label) => {
      const limit = limits.get(label.category);
      const reached = limit && label.confidence >= limit.threshold;
      return h('li', { data: { tone: reached ? 'bad' : 'quiet' } },
        h('span.what', {}, label.name, label.category ? h('small', {}, words(label.category)) : null),
        h('span.num', {}, percent(label.confidence)),
        scale(label.confidence / 100, limit ? limit.threshold / 100 : null),
        reached ? h('span.detail', {}, `${CROSSED[limit.outcome] ?? 'Crossed at'} ${percent(limit.threshold)}`) : null);
    })) : h('p.soft.small', {}, 'No label.'),
  ], outcomeBadge(moderation.outcome));
}

/** What a model recognised, each a link to pictures with the same; null without labels. */
export function labelsCard(labels) {
  if (!labels?.length) return null;
  const sorted = [...labels].sort((a, b) => b.confidence - a.confidence);
  const sources = [...new Set(sorted.map((one) => [one.source, one.model_version].filter(Boolean).join(' ')))];
  return card('Labels', [
    h('ul.label-list', {}, sorted.map((one) => h('li', {},
      h('a.label', { href: `#/?tag=${encodeURIComponent(one.tag ?? `label:${one.name.toLowerCase()}`)}`, aria: { label: `${one.name}, ${percent(one.confidence)}. Show all with this label` } },
        one.name, h('span.num', {}, percent(one.confidence)))))),
    sources.length ? h('p.seen-by', {}, 'Seen by ', sources.join(', ')) : null,
  ]);
}
