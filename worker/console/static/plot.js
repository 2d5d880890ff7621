// Small drawings of numbers.

import { svg } from './dom.js';

/** A thin bar of a share of the whole width. */
export function bar(share) {
  const width = Math.max(1, Math.min(100, share * 100));
  return svg('svg', { viewBox: '0 0 100 4', preserveAspectRatio: 'none', class: 'barline', 'aria-hidden': 'true' },
    svg('rect', { width: 100, height: 4, rx: 0 }), svg('rect', { width, height: 4 }));
}

/** A line over time; the newest value is at the right. */
export function plot(lines, label, kind = 'stroke') {
  const most = Math.max(1, ...lines.flat());
  const made = svg('svg', { viewBox: '0 0 100 40', preserveAspectRatio: 'none', class: 'plot', role: 'img', 'aria-label': `${label}: now ${lines[0].at(-1) ?? 0}, at most ${Math.max(0, ...lines[0])}` },
    svg('line', { x1: 0, x2: 100, y1: 39, y2: 39, class: 'base' }));
  for (const values of lines) {
    if (values.length < 2) continue; // one value is no line
    const points = values.map((value, index) => `${((index / (values.length - 1)) * 100).toFixed(2)},${(38 - (value / most) * 35).toFixed(2)}`);
    if (kind === 'stroke') made.append(svg('path', { class: 'area', d: `M0,39L${points.join('L')}L100,39Z` }));
    made.append(svg('path', { class: kind, d: `M${points.join('L')}` }));
  }
  return made;
}

/** A thin bar of a share, with a mark at the share from which something is done; null: no mark. */
export function scale(share, mark) {
  const made = bar(share);
  if (mark !== null) made.append(svg('rect', { x: Math.min(99, mark * 100), width: 1, height: 4, class: 'mark' }));
  return made;
}
