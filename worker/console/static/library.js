// The library: a place to drop files on, filters, and the grid.

import { isAdmin } from './api.js';
import { button, fill, h, icon } from './dom.js';
import { STATUS, plural } from './format.js';
import { Grid } from './grid.js';
import { paint } from './tile.js';

const TYPING = 250; // milliseconds without a key before a search begins

/** What the address says: `#/?status=rejected&tag=sea`. */
function filterOf(query) {
  return { status: query.get('status') ?? '', tag: query.get('tag') ?? '', owner: query.get('owner') ?? '', text: query.get('text') ?? '' };
}

/**
 * @param {LibraryStore} store
 * @param {{pick: function(), photograph: function()}} upload
 * @returns {{element: HTMLElement, destroy: function(), title: string}}
 */
export function libraryView({ store, upload, query, navigate }) {
  const filter = filterOf(query);
  const count = h('span.count.num', { role: 'status' });
  const nothing = h('div.empty', { hidden: true });
  const loading = h('div.loading', { hidden: true, aria: { hidden: true } }, Array.from({ length: 12 }, () => h('span')));
  const grid = new Grid({
    ids: () => store.ids,
    paint: (tile, id) => paint(tile, store.assets.get(id), { preview: store.previews.get(id), progress: store.progress.get(id) ?? null }),
    more: () => store.more(),
  });

  const change = (changed) => {
    const next = { ...filter, ...changed };
    Object.assign(filter, next);
    const parameters = new URLSearchParams(Object.entries(next).filter(([, value]) => value));
    navigate(`#/${parameters.size ? `?${parameters}` : ''}`, { quiet: true });
    store.show(next);
  };

  const onChange = () => {
    grid.schedule();
    const { status, tag, owner, text } = store.filter;
    const filtered = Boolean(status || tag || owner || text);
    loading.hidden = store.ids.length > 0 || !store.loading;
    count.textContent = !loading.hidden ? 'Loading' : store.ids.length ? `${plural(store.ids.length, 'asset')}${store.ended ? '' : ' so far'}` : '';
    nothing.hidden = store.ids.length > 0 || Boolean(store.loading);
    if (nothing.hidden) return;
    if (store.error) fill(nothing, icon('warn'), h('h2', {}, 'The list cannot be loaded'), h('p', {}, store.error.message), h('div.actions', {}, button('Try again', 'retry', () => store.more({ again: true }))));
    else if (filtered) fill(nothing, icon('search'), h('h2', {}, 'Nothing fits'), h('p', {}, 'No asset fits these filters.'), button('Show all', '', () => navigate('#/')));
    else fill(nothing, icon('image'), h('h2', {}, 'Nothing here yet'), h('p', {}, 'Pictures and videos appear here as soon as they are uploaded.'));
  };
  const onAsset = (event) => grid.repaint(event.detail);
  store.addEventListener('change', onChange);
  store.addEventListener('asset', onAsset);

  const search = field('search', 'search', 'Search file names', filter.text, (text) => change({ text }));
  search.classList.add('search');
  const tag = field('tag', '', 'Tag', filter.tag, (text) => change({ tag: text }));
  tag.classList.add('narrow');
  const owner = isAdmin() ? field('owner', '', 'Owner', filter.owner, (text) => change({ owner: text })) : null;
  owner?.classList.add('narrow');

  const byTouch = matchMedia('(hover: none)').matches;
  const element = h('div', {},
    h('section.intro', { aria: { labelledby: 'intro' } },
      icon('upload'),
      h('div', {},
        h('h1', { id: 'intro' }, byTouch ? 'Add pictures and videos' : 'Drop pictures and videos here'),
        h('p', {}, byTouch ? 'They go on by themselves if the connection breaks.' : 'Or paste them, choose files, take a photograph.')),
      h('div.actions', {},
        button('Photograph', 'camera', upload.photograph),
        button('Choose files', 'upload', upload.pick))),
    h('div.filters', { role: 'search' },
      search, tag, owner,
      chips(filter.status, (status) => change({ status })),
      count),
    grid.element,
    loading,
    nothing);

  store.show(filter);
  // On a phone the chosen status may be out of sight.
  requestAnimationFrame(() => element.querySelector('.chip input:checked')?.closest('.chip').scrollIntoView({ block: 'nearest', inline: 'center' }));
  return {
    element,
    title: 'Library',
    destroy() {
      grid.destroy();
      store.removeEventListener('change', onChange);
      store.removeEventListener('asset', onAsset);
    },
  };
}

function field(name, type, label, value, changed) {
  let timer;
  const input = h('input', {
    type: type || 'text', name, value, placeholder: label, autocomplete: 'off', spellcheck: false, aria: { label },
    on: {
      input: () => {
        clearTimeout(timer);
        timer = setTimeout(() => changed(input.value.trim()), TYPING);
      },
    },
  });
  return h('label.field', {}, type ? icon(type) : null, input);
}

function chips(chosen, changed) {
  const all = [['', 'All'], ...['accepted', 'processing', 'review', 'rejected', 'waiting'].map((status) => [status, STATUS[status].label])];
  return h('div.chips', { role: 'radiogroup', aria: { label: 'Status' } },
    all.map(([status, label]) => h('label.chip', {},
      h('input', { type: 'radio', name: 'status', value: status, checked: status === chosen, on: { change: () => changed(status) } }),
      h('span', {}, label))));
}
