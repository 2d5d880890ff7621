// What this browser is served, and why: its formats, the width of the slot, the density of the screen.

/** One pixel in each newer format. */
const PROBES = {
  avif: 'data:image/avif;base64,AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxpYmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAAAB0AAAAoaWluZgAAAAAAAQAAABppbmZlAgAAAAABAABhdjAxQ29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAAAIAAAACAAAAEHBpeGkAAAAAAwgICAAAAAxhdjFDgQ0MAAAAABNjb2xybmNseAACAAIAAYAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAACVtZGF0EgAKCBgANogQEAwgMg8f8D///8WfhwB8+ErK42A=',
  webp: 'data:image/webp;base64,UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA',
  jxl: 'data:image/jxl;base64,/woIELASCAgQAFwASxLFgkWAHL0xqnCBCV0qDp901Te/5QM=',
};

let found;

/** The newer formats that this browser decodes. */
export function formats() {
  found ??= Promise.all(Object.entries(PROBES).map(async ([name, url]) => {
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
      return name;
    } catch {
      return null;
    }
  })).then((names) => new Set(names.filter(Boolean)));
  return found;
}

const ORDER = ['jxl', 'avif', 'webp'];

/**
 * The choice of a browser among the renditions, as `<picture>` with `sizes="auto"` leads it: the first
 * format it knows, then the first file that is as wide as the slot times the screen's density.
 * @param {Array} renditions of one cut
 * @param {Set<string>} known newer formats that the browser decodes
 * @param {number} slot CSS pixels
 * @param {number} density of the screen
 */
export function choose(renditions, known, slot, density) {
  const offered = new Set(renditions.map((one) => one.format));
  const format = ORDER.find((name) => offered.has(name) && known.has(name)) ?? renditions.map((one) => one.format).find((name) => !ORDER.includes(name)) ?? renditions[0].format;
  const wanted = Math.round(slot * density);
  const widths = renditions.filter((one) => one.format === format).sort((a, b) => a.width - b.width);
  return { format, wanted, file: widths.find((one) => one.width >= wanted) ?? widths.at(-1), refused: ORDER.filter((name) => offered.has(name) && !known.has(name)) };
}

/** Renditions of the cut that the largest one has: small ones may be squares. */
export function sameCut(renditions) {
  const largest = renditions.reduce((a, b) => (a.width * a.height >= b.width * b.height ? a : b));
  return renditions.filter((one) => Math.abs((one.width * largest.height) / (one.height * largest.width) - 1) <= 0.02 + 1 / Math.min(one.width, one.height));
}
