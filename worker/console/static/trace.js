// What was done about an asset, step by step in time: the spans of its trace, with what is missing.

import { call, config, isAdmin } from './api.js';
import { card } from './cards.js';
import { fill, h } from './dom.js';
import { duration, plural } from './format.js';

const LEAST = 0.4; // per cent of the width: a shorter span is seen, too

/** The card; null where the stack has no traces to show, or the token is of nobody who may see them. */
export function traceCard(asset) {
  if (!config.operations || !isAdmin()) return null;
  const body = h('div', {}, h('p.soft.small', {}, 'Loading'));
  const every = h('input', { type: 'checkbox' });
  const element = card('Trace', body, h('label.soft.small.calls', {}, every, ' Show calls'));
  let trace = null;
  every.addEventListener('change', () => trace && draw(body, trace, every.checked));
  call('GET', `/traces/${encodeURIComponent(asset.id)}`).then((found) => {
    trace = found;
    draw(body, trace, every.checked);
  }).catch((error) => {
    every.parentElement.hidden = true;
    fill(body, h('p.soft.small', {}, error.code === 'trace_missing' ? 'Nothing of it was traced, or nothing is left.' : error.message));
  });
  return element;
}

function draw(body, trace, calls) {
  const spans = trace.spans.filter((span) => calls || !span.name.includes('.'));
  const gaps = trace.gaps.map((gap) => ({ ...gap, gap: true, name: `Nothing after ${gap.after}`, depth: 0, service: '', error: '' }));
  const rows = [];
  for (const span of spans) {
    while (gaps.length && gaps[0].at <= span.at) rows.push(gaps.shift());
    rows.push(span);
  }
  rows.push(...gaps);
  fill(body,
    h('p.soft.small.num', {}, `${plural(trace.spans.length, 'span')} in ${length(trace.seconds)}${trace.later_deliveries ? `; ${plural(trace.later_deliveries, 'later delivery', 'later deliveries')} not shown` : ''}`),
    missing(trace),
    h('ol.waterfall', { aria: { label: 'Steps in the order of their beginning' } }, rows.map((row) => line(row, trace.seconds))));
}

function missing(trace) {
  const orphans = trace.spans.filter((span) => span.orphan).length;
  const said = [
    trace.gaps.length ? `${plural(trace.gaps.length, 'time')} that no step covers` : '',
    orphans ? `a part in which ${plural(orphans, 'step')} lay` : '',
    ...trace.missing,
  ].filter(Boolean);
  if (trace.unreadable) said.push(`${plural(trace.unreadable, 'line')} that cannot be read`);
  return said.length ? h('p.small.missing', {}, `Missing: ${said.join(', ')}.`) : null;
}

function line(row, whole) {
  const kind = row.gap ? 'gap' : row.error ? 'bad' : row.name.startsWith('wait ') ? 'wait' : 'work';
  const left = whole ? Math.min(100 - LEAST, (100 * row.at) / whole) : 0;
  const width = whole ? Math.min(100 - left, Math.max(LEAST, (100 * row.seconds) / whole)) : 100;
  const rod = h('span.rod', { aria: { hidden: 'true' } });
  rod.style.left = `${left}%`;
  rod.style.width = `${width}%`;
  const name = h('span.step', {}, row.orphan ? '? ' : '', row.name);
  name.title = Object.entries(row.attributes ?? {}).map(([key, value]) => `${key.replace('safelight.', '')}: ${value}`).join('\n');
  name.style.paddingLeft = `${Math.min(row.depth, 6) * 0.75}rem`;
  return h('li', { data: { kind } },
    name,
    h('span.service.soft', {}, row.service),
    h('span.rail', {}, rod),
    h('span.took.num', { title: `from ${length(row.at)}` }, length(row.seconds)),
    row.error ? h('span.detail', {}, row.error) : null);
}

function length(seconds) {
  return seconds < 0.01 && seconds > 0 ? `${(seconds * 1000).toFixed(1)} ms` : duration(seconds * 1000);
}
