// One asset: what was made of it, how, and what may be done with it.

import { Failure, call, config, mayReview } from './api.js';
import { card, fitted, labelsCard, metadataRows, moderationCard, sizeText } from './cards.js';
import { compare } from './compare.js';
import { button, confirm, fill, h, icon, svg, toast } from './dom.js';
import { STATUS, ago, bytes, duration, jobState, moment, number, plural, words } from './format.js';
import { player } from './player.js';
import { sentence } from './review.js';
import { bar } from './plot.js';
import { placeholderUrl } from './placeholder.js';
import { choose, formats, sameCut } from './served.js';
import { nameOf, thumbnailOf } from './tile.js';
import { traceCard } from './trace.js';
import { zoomer } from './zoom.js';

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const FAR = 2_000; // milliseconds between two looks at the jobs of an asset that is being processed

const ENDED = ['SUCCEEDED', 'FAILED'];

const isPicture = (one) => ['jpeg', 'webp', 'avif', 'png', 'gif', 'jxl'].includes(one.format);

export function assetView({ id, changes, navigate, store }) {
  const element = h('div', {}, h('p.empty', {}, 'Loading'));
  const controls = { destroy: null, shown: '' };
  const state = { asset: null, tab: null, timer: 0, gone: false };

  const load = async () => {
    try {
      if (!ID.test(id)) throw new Failure('The address has no id of an asset.', { status: 404 });
      const asset = await call('GET', `/assets/${encodeURIComponent(id)}`);
      if (state.gone) return;
      state.asset = asset;
      document.title = `${nameOf(asset)} · Safelight`;
      draw();
      clearTimeout(state.timer);
      if (['processing', 'uploaded'].includes(asset.status) || asset.jobs.some((job) => !ENDED.includes(job.state))) state.timer = setTimeout(load, FAR);
    } catch (error) {
      if (state.gone) return;
      if (state.asset && error.status !== 404 && error.status !== 410) {
        toast(error.message, { bad: true });
        return;
      }
      missing(element, error);
    }
  };

  const onAsset = (event) => {
    if (event.detail.id === id && event.detail.revision !== state.asset?.revision) load();
  };
  const onGone = (event) => {
    if (event.detail === id) missing(element, new Failure('The asset was deleted.', { status: 410 }));
  };
  changes.addEventListener('asset', onAsset);
  changes.addEventListener('gone', onGone);

  const parts = { head: h('div'), reason: h('div'), stage: stageCard(), side: h('div'), under: h('div.stack'), trace: null, traced: 0 };
  const draw = () => {
    const asset = state.asset;
    if (!parts.head.isConnected) {
      fill(element, parts.head, parts.reason, h('div.asset', {}, h('div', {}, parts.stage.element, parts.under), parts.side));
    }
    fill(parts.head, head(asset, { load, navigate, store }));
    fill(parts.reason, reason(asset));
    parts.stage.draw(asset, { load });
    if (parts.traced !== asset.revision) Object.assign(parts, { trace: traceCard(asset), traced: asset.revision });
    fill(parts.under, snippetCard(asset), timelineCard(asset), parts.trace);
    if (!parts.side.contains(document.activeElement)) fill(parts.side, ...side(asset, { load, store }));
    similarCard(asset).then((card) => card && !state.gone && parts.side.append(card));
  };

  load();
  return {
    element,
    title: 'Asset',
    destroy() {
      state.gone = true;
      clearTimeout(state.timer);
      parts.stage.destroy();
      controls.destroy?.();
      changes.removeEventListener('asset', onAsset);
      changes.removeEventListener('gone', onGone);
    },
  };
}

function missing(element, error) {
  const gone = error.status === 410;
  fill(element, h('div.empty', {}, icon(gone ? 'trash' : 'warn'), h('h1', {}, gone ? 'Deleted' : error.status === 404 || error.status === 422 ? 'There is no such asset' : 'The asset cannot be shown'), h('p', {}, error.message), h('p', {}, h('a', { href: '#/' }, 'Back to the library'))));
}

// --- head ----------------------------------------------------------------------------------------

function head(asset, { load, navigate, store }) {
  const status = STATUS[asset.status];
  const attempt = async (what, done) => {
    try {
      await what();
      done();
    } catch (error) {
      toast(error.message, { bad: true });
    }
  };
  const reprocess = () => attempt(() => call('POST', `/assets/${asset.id}/reprocess`, { body: {} }), () => {
    toast(asset.status === 'processing' ? 'Its jobs start again.' : 'It is being made again.');
    load();
  });
  const remove = async () => {
    if (!await confirm(`Delete ${nameOf(asset)}?`, 'The original, everything that was made of it and its jobs are removed. This cannot be undone.', 'Delete')) return;
    await attempt(() => call('DELETE', `/assets/${asset.id}`), () => {
      store.remove(asset.id);
      toast('Deleted.');
      navigate('#/');
    });
  };
  return h('div.asset-head', {},
    h('a.button.round', { href: '#/', aria: { label: 'Back to the library' }, title: 'Back to the library' }, icon('back')),
    h('div.title', {},
      h('h1', { title: nameOf(asset) }, nameOf(asset)),
      h('p.sub', {},
        h('span.badge', { data: { tone: status.tone } }, status.label),
        h('span.num', {}, bytes(asset.original.bytes)),
        asset.original.format ? h('span', {}, asset.original.format.toUpperCase()) : null,
        h('time', { dateTime: asset.created_at, title: moment(asset.created_at) }, ago(asset.created_at)),
        asset.owner ? h('span', {}, `of ${asset.owner}`) : null)),
    h('div.actions', {},
      asset.settled && asset.status !== 'processing' ? null : button(asset.status === 'processing' ? 'Start jobs again' : 'Reprocess', 'retry', reprocess),
      button('Delete', 'trash', remove, { kind: 'danger' })));
}

function reason(asset) {
  const held = asset.status === 'review';
  if ((!asset.verdict && !held) || ['accepted', 'published'].includes(asset.status)) return [];
  const newest = asset.reviews?.at(-1);
  if (held && ['approved', 'rejected'].includes(newest?.state) && newest.version === asset.version) { // its effect comes a moment later
    return [h('div.reason', { data: { tone: 'busy' }, role: 'note' }, icon('pulse'), h('div', {}, h('strong', {}, `A person has ${newest.state} it. `), 'That takes effect within seconds.'))];
  }
  const tone = asset.status === 'rejected' ? 'bad' : held ? 'warn' : 'busy';
  const machine = asset.moderation?.outcome === 'uncertain'; // no person is asked yet
  const lead = { rejected: 'Rejected', review: machine ? 'Held until moderation decides' : 'Held until a person decides', processing: 'Left to jobs' }[asset.status] ?? STATUS[asset.status].label;
  return [h('div.reason', { data: { tone }, role: 'note' }, icon(tone === 'busy' ? 'pulse' : held ? 'lock' : 'warn'),
    h('div', {}, h('strong', {}, asset.verdict ? `${lead}: ` : `${lead}.`), asset.verdict ? [asset.verdict.message, ' ', h('code.small', {}, asset.verdict.code)] : null),
    toReview(asset))];
}

/** A link to the open review of an asset, for those who may decide it. */
function toReview(asset) {
  const open = asset.reviews?.find((one) => one.state === 'open');
  if (!open || !mayReview()) return null;
  return h('a.button.small', { href: `#/reviews/${encodeURIComponent(open.id)}` }, icon('people'), h('span', {}, 'Open the review'));
}

// --- stage ---------------------------------------------------------------------------------------

function stageCard() {
  const views = h('div.views', { role: 'tablist', aria: { label: 'Views of the asset' } });
  const canvas = h('div.canvas', { role: 'tabpanel', tabIndex: 0, id: 'stage' });
  const note = h('div.stage-note', { hidden: true });
  const element = h('section.card.stage', { aria: { label: 'Preview' } }, views, canvas, note);
  let now = null; // the current asset, its tabs and their rights
  let chosen = null;
  let stop = null;
  let drawn = '';

  const show = (name) => {
    const { asset, tabs, context } = now;
    stop?.();
    stop = null;
    chosen = name;
    canvas.className = 'canvas';
    note.hidden = true;
    for (const tab of views.children) {
      const selected = tab.dataset.name === name;
      tab.setAttribute('aria-selected', String(selected));
      tab.tabIndex = selected ? 0 : -1;
    }
    const say = (...content) => {
      fill(note, ...content);
      note.hidden = false;
    };
    stop = tabs.get(name).draw(asset, { canvas, say, ...context }) ?? null;
  };

  views.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...views.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    next.click();
  });

  return {
    element,
    draw(asset, context) {
      const tabs = new Map(tabsOf(asset));
      now = { asset, tabs, context };
      if (!tabs.has(chosen)) chosen = tabs.keys().next().value;
      // What a person looks at stays as it is while tags and times change.
      const key = [asset.version, asset.status, asset.renditions.length, [...tabs.keys()], tabs.get(chosen).follows?.(asset)].join('/');
      if (key === drawn) return;
      drawn = key;
      fill(views, [...tabs].map(([name, tab]) => h('button.view-tab', {
        type: 'button', role: 'tab', data: { name }, aria: { controls: 'stage' }, on: { click: () => show(name) },
      }, tab.label)));
      views.hidden = tabs.size < 2;
      show(chosen);
    },
    destroy() { stop?.(); },
  };
}

function tabsOf(asset) {
  // Its files are closed: whoever asks for one is refused.
  if (asset.status === 'review') return [['held', { label: 'Held', draw: drawHeld }]];
  const pictures = asset.renditions.filter(isPicture);
  const found = [];
  if (asset.video && asset.renditions.some((one) => ['hls', 'mp4'].includes(one.format))) found.push(['play', { label: 'Play', draw: drawPlayer }]);
  if (pictures.length && !asset.video) found.push(['preview', { label: 'Preview', draw: drawPreview }]);
  if (pictures.length > 1 && !asset.video) found.push(['compare', { label: 'Compare', draw: drawCompare }]);
  const detailed = asset.original.width > Math.max(...pictures.map((one) => one.width));
  if (pictures.length && !asset.video && (asset.tiles || detailed)) found.push(['zoom', { label: 'Zoom', draw: drawZoom, follows: zoomState }]);
  if (pictures.length) found.push(['files', { label: `Renditions (${asset.renditions.length})`, draw: drawRenditions }]);
  if (pictures.length && !asset.settled) found.push(['focus', { label: 'Focal point', draw: drawFocus }]);
  return found.length ? found : [['nothing', { label: 'Nothing yet', draw: drawNothing }]];
}

function drawNothing(asset, { canvas }) {
  const bad = asset.status === 'rejected';
  const text = { waiting: 'Nothing has arrived yet. The upload was asked for and can still be sent.', uploaded: 'The original is there and waits for its turn.', processing: 'Jobs are working on it. This page follows them.', rejected: 'Nothing was made of it.', deleted: 'The original was deleted.' }[asset.status] ?? 'There is nothing to show.';
  fill(canvas, h('div.message', { data: { tone: bad ? 'bad' : 'quiet' } }, icon(bad ? 'warn' : asset.media === 'video' ? 'play' : 'image'), h('p', {}, text)));
}

function drawHeld(asset, { canvas }) {
  const under = placeholderUrl(asset.placeholder?.thumbhash);
  fill(canvas, under ? h('img.under', { src: under, alt: '' }) : null,
    h('div.veil', {}, icon('lock'), h('p', {}, asset.moderation?.outcome === 'blur' ? 'Until a person decides, only a blurred picture of it is served.' : 'Its files are closed until that is decided. Nobody can load them.')));
}

function drawPreview(asset, { canvas, say }) {
  const cut = sameCut(asset.renditions.filter(isPicture));
  const largest = cut.reduce((a, b) => (a.width >= b.width ? a : b));
  canvas.classList.toggle('transparent', cut.some((one) => one.format === 'png'));
  const image = fitted(h('img', { alt: nameOf(asset), decoding: 'async' }), largest);
  if (asset.placeholder) image.style.background = `center / 100% 100% no-repeat url(${placeholderUrl(asset.placeholder.thumbhash)})`;
  image.addEventListener('load', () => { image.style.background = ''; });
  fill(canvas, image);
  let chosen;
  const look = async () => {
    const known = await formats();
    if (!image.isConnected) return;
    const slot = image.getBoundingClientRect().width;
    const choice = choose(cut, known, slot, devicePixelRatio);
    if (choice.file !== chosen) {
      chosen = choice.file;
      image.src = choice.file.url;
    }
    const others = choice.refused.length ? ` It does not decode ${choice.refused.join(', ').toUpperCase()}.` : '';
    const enough = choice.file.width >= choice.wanted ? `the first that is at least ${number(choice.wanted)} pixels wide` : `the widest there is, for ${number(choice.wanted)} pixels`;
    say(h('span', {}, h('strong', {}, `This browser is served ${choice.file.name}.${choice.file.format}`), `, ${choice.file.width} × ${choice.file.height}, ${bytes(choice.file.bytes)}: ${choice.format.toUpperCase()} is the best format here that it decodes, and of its files this is ${enough} (${Math.round(slot)} CSS pixels at density ${number(devicePixelRatio)}).${others}`));
  };
  look();
  const observer = new ResizeObserver(look);
  observer.observe(canvas);
  return () => observer.disconnect();
}

function labelOf(one) { return `${one.name}.${one.format}`; }

function drawCompare(asset, { canvas, say }) {
  const cut = sameCut(asset.renditions.filter(isPicture)).sort((a, b) => b.width - a.width || b.bytes - a.bytes);
  const original = { name: 'original', format: asset.original.format, url: null, width: asset.original.width, height: asset.original.height, bytes: asset.original.bytes };
  const list = config.originals && ['jpeg', 'png', 'webp', 'gif', 'avif'].includes(original.format) ? [original, ...cut] : cut;
  let left = list[0];
  let right = list.find((one) => one.format === 'webp' && one !== left) ?? list[1];
  const option = (one, index) => h('option', { value: index }, one === original ? `Original, ${bytes(one.bytes)}` : `${labelOf(one)}, ${bytes(one.bytes)}`);
  const pick = (label, current, changed) => {
    const select = h('select.pick', { aria: { label }, on: { change: () => changed(list[select.value]) } }, list.map(option));
    select.value = list.indexOf(current);
    return select;
  };
  const draw = async () => {
    try {
      for (const one of [left, right]) if (!one.url) one.url = (await call('GET', `/assets/${asset.id}/original`)).url;
    } catch (error) {
      toast(error.message, { bad: true });
      return;
    }
    if (!canvas.isConnected) return;
    const side = (one) => ({ ...one, label: one === original ? 'Original' : labelOf(one) });
    const shown = fitted(compare(side(left), side(right), nameOf(asset)), cut[0]);
    fill(canvas, shown);
    const ratio = right.bytes / left.bytes;
    say(
      h('label', {}, 'Left', pick('Left picture', left, (one) => { left = one; draw(); })),
      h('label', {}, 'Right', pick('Right picture', right, (one) => { right = one; draw(); })),
      h('span.num', {}, ratio < 1 ? `The right one has ${Math.round((1 - ratio) * 100)} % fewer bytes.` : ratio > 1 ? `The right one has ${number(ratio)} times the bytes.` : 'Both have the same size.'));
  };
  draw();
}

/** The newest job that makes tiles. */
function tilesJob(asset) { return asset.jobs.filter((job) => job.kind === 'deepzoom').at(-1); }

function zoomState(asset) {
  const job = tilesJob(asset);
  return [asset.tiles, job?.id, job?.state, job?.progress].join();
}

function drawZoom(asset, { canvas, say, load }) {
  if (asset.tiles) {
    const shown = zoomer(asset.tiles, nameOf(asset), (text) => say(h('span.num', {}, text)), (text) => fill(canvas, h('div.message', { data: { tone: 'bad' } }, icon('warn'), h('p', {}, text))));
    fill(canvas, shown.element);
    return shown.destroy;
  }
  const { width, height, format } = asset.original;
  const job = tilesJob(asset);
  if (job && !ENDED.includes(job.state)) {
    fill(canvas, h('div.message', {}, icon('grid'), h('p', { role: 'status' }, job.state === 'RUNNING' ? 'Tiles are being made.' : 'The job waits for a machine.'),
      h('progress', { max: 1, aria: { label: 'Progress of the tiles' }, ...(job.progress === null ? {} : { value: job.progress }) })));
    return undefined;
  }
  const make = button(job ? 'Make tiles again' : 'Make tiles', 'grid', async () => {
    make.disabled = true;
    try {
      // JPEG has no transparency.
      const parameters = format === 'jpeg' ? {} : { format: 'webp' };
      await call('POST', '/jobs', { body: { kind: 'deepzoom', assets: [asset.id], parameters } });
      load();
    } catch (error) {
      toast(error.message, { bad: true });
      make.disabled = false;
    }
  }, { kind: 'primary' });
  const text = {
    FAILED: `The tiles could not be made${job?.reason ? `: ${job.reason}` : '.'}`,
    SUCCEEDED: 'The tiles are of an earlier original, or this API has no address that serves them.',
  }[job?.state] ?? `The original has ${number(width)} × ${number(height)} pixels, more than its largest rendition. A job cuts it into tiles; then every one of them can be seen here.`;
  fill(canvas, h('div.message', { data: { tone: job?.state === 'FAILED' ? 'bad' : 'quiet' } }, icon('grid'), h('p', {}, text), make));
  return undefined;
}

function drawRenditions(asset, { canvas }) {
  const most = Math.max(...asset.renditions.map((one) => one.bytes));
  fill(canvas, h('div.renditions', {}, asset.renditions.map((one) => h('a.rendition', { href: one.url, target: '_blank', rel: 'noopener' },
    h('span.frame', {}, isPicture(one) ? h('img', { src: one.url, alt: '', loading: 'lazy', decoding: 'async' }) : icon(one.media_type.startsWith('video/') || ['hls', 'dash'].includes(one.format) ? 'play' : 'grid')),
    h('b', {}, labelOf(one)),
    bar(one.bytes / most),
    h('span.line', {}, h('span', {}, one.width ? `${one.width} × ${one.height}` : one.media_type), h('span', {}, bytes(one.bytes)))))));
  canvas.style.placeItems = 'stretch';
  return () => { canvas.style.placeItems = ''; };
}

function drawFocus(asset, { canvas, say, load }) {
  const cut = sameCut(asset.renditions.filter(isPicture));
  const picture = cut.filter((one) => one.width >= 900).sort((a, b) => a.width - b.width)[0] ?? cut[0];
  const [startX, startY] = (asset.attributes.focal_point ?? '').split(',').map(Number);
  const known = asset.focal_point ?? (Number.isFinite(startY) ? { x: startX, y: startY } : null);
  const point = { x: known?.x ?? 0.5, y: known?.y ?? 0.5 };
  const dot = h('span.focus-point');
  const area = h('button.focus-area', { type: 'button', aria: { label: 'Focal point. Arrow keys move it.' } },
    h('img', { src: picture.url, alt: '', draggable: false }), dot);
  fitted(area, cut.reduce((a, b) => (a.width >= b.width ? a : b)));
  const words_ = h('span.num');
  const save = button('Save', 'check', async () => {
    save.disabled = true;
    try {
      await call('PATCH', `/assets/${asset.id}`, { body: { focal_point: { x: point.x, y: point.y } } });
      toast('Saved. Cuts are made again around this point.');
      load();
    } catch (error) {
      toast(error.message, { bad: true });
    }
    save.disabled = false;
  }, { kind: 'primary.small' });
  const place = () => {
    point.x = Math.min(1, Math.max(0, Math.round(point.x * 1000) / 1000));
    point.y = Math.min(1, Math.max(0, Math.round(point.y * 1000) / 1000));
    dot.style.left = `${point.x * 100}%`;
    dot.style.top = `${point.y * 100}%`;
    words_.textContent = `${Math.round(point.x * 100)} % across, ${Math.round(point.y * 100)} % down`;
  };
  area.addEventListener('click', (event) => {
    if (event.detail === 0) return; // by the keyboard: it stays where the arrows have put it
    const box = area.getBoundingClientRect();
    point.x = (event.clientX - box.left) / box.width;
    point.y = (event.clientY - box.top) / box.height;
    place();
  });
  area.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, -0.02], ArrowDown: [0, 0.02] }[event.key];
    if (!step) return;
    event.preventDefault();
    point.x += step[0];
    point.y += step[1];
    place();
  });
  fill(canvas, area);
  place();
  say(h('span', {}, 'Click what must stay in the picture when it is cut. '), words_, h('span.actions', {}, save));
}

function drawPlayer(asset, { canvas, say }) {
  const find = (format, ...names) => asset.renditions.find((one) => one.format === format && names.includes(one.name)) ?? asset.renditions.find((one) => one.format === format);
  const poster = thumbnailOf(asset, 1280);
  const made = player({ hls: find('hls', 'stream'), file: find('mp4', 'film'), poster: poster?.url, name: nameOf(asset) }, (text) => say(h('span', {}, text)));
  fill(canvas, made.element);
  return made.destroy;
}

// --- cards ---------------------------------------------------------------------------------------

function side(asset, context) {
  return [detailsCard(asset), moderationCard(asset.moderation), labelsCard(asset.labels), tagsCard(asset, context), jobsCard(asset)].filter(Boolean);
}

function detailsCard(asset) {
  const rows = [];
  const row = (term, ...value) => rows.push(h('dt', {}, term), h('dd', {}, ...value));
  const { original, video, measures } = asset;
  if (original.width) row('Size', sizeText(original));
  if (video) {
    row('Length', duration(video.duration_ms));
    row('Video', `${video.codec}, ${video.frame_rate} frames a second${video.hdr ? ', HDR' : ''}`);
    row('Audio', plural(video.audio_tracks, 'track'));
  }
  for (const [term, text] of metadataRows(asset.metadata)) row(term, text);
  if (asset.placeholder?.palette?.length) {
    row('Colours', h('span.palette', {}, asset.placeholder.palette.map((colour) => svg('svg', { viewBox: '0 0 1 1', role: 'img', 'aria-label': colour }, svg('rect', { width: 1, height: 1, fill: colour })))));
  }
  if (measures?.sharpness !== undefined) row('Sharpness', number(measures.sharpness));
  if (original.warnings.length) row('Warnings', original.warnings.map(words).join(', '));
  row('Recipe', asset.recipe);
  if (asset.settled && GOOD.includes(asset.status)) row('Reprocess', `Not offered: ${asset.settled}.`);
  row('Key', h('span.mono', {}, original.key));
  row('Id', h('span.mono', {}, asset.id));
  return card('Details', h('dl.facts-list', {}, rows));
}

function tagsCard(asset, { load, store }) {
  const change = async (body) => {
    try {
      const changed = await call('PATCH', `/assets/${asset.id}`, { body });
      store.apply([changed]);
      document.activeElement?.blur();
      load();
    } catch (error) {
      toast(error.message, { bad: true });
    }
  };
  const input = h('input', { type: 'text', name: 'new-tag', placeholder: 'Add a tag', maxLength: 128, autocomplete: 'off', aria: { label: 'Add a tag' } });
  return card('Tags', [
    h('div.tags', {}, asset.tags.length ? asset.tags.map((tag) => h('span.tag', {},
      h('a', { href: `#/?tag=${encodeURIComponent(tag)}` }, tag),
      h('button', { type: 'button', aria: { label: `Remove the tag ${tag}` }, on: { click: () => change({ remove_tags: [tag] }) } }, icon('close')))) : h('span.soft.small', {}, 'No tags')),
    h('form.tag-form', { on: { submit: (event) => {
      event.preventDefault();
      if (input.value.trim()) change({ add_tags: [input.value.trim()] });
    } } }, h('label.field', {}, input), h('button.button', {}, 'Add')),
  ]);
}

const JOB_TONES = { SUCCEEDED: 'good', FAILED: 'bad' };

function jobsCard(asset) {
  if (!asset.jobs.length) return null;
  return card('Jobs', h('ul.jobs-list', {}, asset.jobs.map((job) => {
    const tone = JOB_TONES[job.state.toUpperCase()] ?? 'busy';
    const busy = tone === 'busy';
    return h('li', {}, h('span', {}, words(job.kind)), h('span.badge', { data: { tone } }, jobState(job.state)),
      busy ? h('progress', { max: 1, aria: { label: `Progress of ${job.kind}` }, ...(job.progress === null ? {} : { value: job.progress }) }) : null,
      h('span.detail.soft.small', {}, [job.reason, !busy ? duration(new Date(job.updated_at) - new Date(job.created_at)) : ''].filter(Boolean).join(' · ')));
  })));
}

const GOOD = ['accepted', 'published', 'approved'];

function toneOf(kind) {
  if (GOOD.includes(kind)) return 'good';
  if (['rejected', 'failed', 'deleted', 'erased'].includes(kind)) return 'bad';
  if (['held', 'escalated'].includes(kind)) return 'warn';
  return ['processing', 'uploaded', 'waiting'].includes(kind) ? 'busy' : 'quiet';
}

/** What people were asked and have said, as lines of the timeline. */
function reviewLines({ id, state, asked_at: asked, closed_at: closed, reason: why, needed, decisions }) {
  const ended = { expired: 'The deadline of the review has passed', withdrawn: 'The review is void' }[state];
  return [
    { time: asked, text: `People are asked${needed > 1 ? `: ${needed} have to approve` : ''}`, tone: 'warn', detail: { reason: why?.message ?? '' }, review: id },
    ...decisions.map((one) => ({ time: one.time, text: sentence(one, ''), tone: one.decision === 'approve' ? 'good' : 'bad', detail: { reason: one.reason } })),
    ...(ended ? [{ time: closed ?? asked, text: ended, tone: 'quiet', detail: {} }] : []),
  ];
}

function timelineCard(asset) {
  const told = [...asset.timeline].reverse().map((line) => ({ ...line, text: words(line.kind), tone: toneOf(line.kind) }));
  const lines = [...told, ...(asset.reviews ?? []).flatMap(reviewLines)].sort((a, b) => new Date(a.time) - new Date(b.time));
  return card('Timeline', h('ol.timeline', {}, lines.map((line, index) => {
    const before = lines[index - 1];
    const took = before ? new Date(line.time) - new Date(before.time) : NaN;
    const detail = Object.entries(line.detail).filter(([name, value]) => name !== 'traceparent' && value !== '').map(([name, value]) => `${words(name)}: ${value}`).join(' · ');
    return h('li', { data: { tone: line.tone } },
      h('span', {}, h('strong', {}, line.text), ' ', h('time.soft', { dateTime: line.time }, moment(line.time)),
        line.review && mayReview() ? [' ', h('a.small', { href: `#/reviews/${encodeURIComponent(line.review)}` }, 'Review')] : null),
      h('span.took', {}, Number.isFinite(took) ? `+${duration(took)}` : ''),
      detail ? h('span.detail', {}, detail) : null);
  })));
}

function snippetCard(asset) {
  if (!asset.snippet) return null;
  const copy = button('Copy', 'copy', async () => {
    try {
      await navigator.clipboard.writeText(asset.snippet);
      toast('Copied.');
    } catch {
      getSelection().selectAllChildren(code);
      toast('Selected: copy it with the keyboard.');
    }
  }, { kind: 'small' });
  const code = h('pre', { tabIndex: 0, aria: { label: 'HTML' } }, asset.snippet);
  return card('For your page', h('div.snippet', {}, code), copy);
}

async function similarCard(asset) {
  if (!asset.placeholder) return null;
  const found = await call('GET', `/assets/${asset.id}/similar`, { query: { limit: 8 } }).catch(() => null);
  if (!found?.assets.length) return null;
  document.getElementById('card-looks-alike')?.closest('section').remove();
  return card('Looks alike', h('div.alike', {}, found.assets.map(({ asset: other }) => h('a', { href: `#/asset/${other.id}` },
    h('img', { src: thumbnailOf(other, 120)?.url ?? placeholderUrl(other.placeholder?.thumbhash), alt: '' }), h('span', {}, nameOf(other))))));
}
