// ThumbHash (evanw.github.io/thumbhash, MIT): a blurred picture in some 25 bytes.

const cache = new Map();
const MOST = 2_000;

/**
 * A picture of at most 32 by 32 pixels as a data URL.
 * @param {string} hash base64
 * @returns {string} empty if the hash is none
 */
export function placeholderUrl(hash) {
  if (!hash) return '';
  let url = cache.get(hash);
  if (url === undefined) {
    try {
      url = draw(Uint8Array.from(atob(hash), (letter) => letter.charCodeAt(0)));
    } catch {
      url = '';
    }
    if (cache.size >= MOST) cache.delete(cache.keys().next().value);
    cache.set(hash, url);
  }
  return url;
}

function draw(hash) {
  const { width, height, pixels } = decode(hash);
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  canvas.getContext('2d').putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas.toDataURL();
}

/** The pixels of a hash: luminance, two colour differences and alpha as a few cosines each. */
export function decode(hash) {
  const head = hash[0] | (hash[1] << 8) | (hash[2] << 16);
  const tail = hash[3] | (hash[4] << 8);
  const average = { l: (head & 63) / 63, p: ((head >> 6) & 63) / 31.5 - 1, q: ((head >> 12) & 63) / 31.5 - 1 };
  const scale = { l: ((head >> 18) & 31) / 31, p: ((tail >> 3) & 63) / 63, q: ((tail >> 9) & 63) / 63 };
  const hasAlpha = (head >> 23) !== 0;
  const landscape = (tail >> 15) !== 0;
  const long = hasAlpha ? 5 : 7;
  const nx = Math.max(3, landscape ? long : tail & 7);
  const ny = Math.max(3, landscape ? tail & 7 : long);
  const alpha = hasAlpha ? { average: (hash[5] & 15) / 15, scale: (hash[5] >> 4) / 15 } : { average: 1, scale: 0 };
  const start = hasAlpha ? 6 : 5;
  let index = 0;
  const channel = (width, height, factor) => {
    const found = [];
    for (let y = 0; y < height; y += 1) {
      for (let x = y ? 0 : 1; x * height < width * (height - y); x += 1) {
        found.push((((hash[start + (index >> 1)] >> ((index & 1) << 2)) & 15) / 7.5 - 1) * factor);
        index += 1;
      }
    }
    return found;
  };
  const l = channel(nx, ny, scale.l);
  const p = channel(3, 3, scale.p * 1.25);
  const q = channel(3, 3, scale.q * 1.25);
  const a = hasAlpha ? channel(5, 5, alpha.scale) : [];
  const ratio = (landscape ? long : tail & 7) / (landscape ? tail & 7 : long);
  const width = Math.max(1, Math.round(ratio > 1 ? 32 : 32 * ratio));
  const height = Math.max(1, Math.round(ratio > 1 ? 32 / ratio : 32));
  const pixels = new Uint8ClampedArray(width * height * 4);
  const most = Math.max(nx, ny, hasAlpha ? 5 : 3);
  const cosines = (position, size) => Array.from({ length: most }, (_, n) => Math.cos((Math.PI / size) * (position + 0.5) * n));
  const columns = Array.from({ length: width }, (_, x) => cosines(x, width));
  for (let y = 0, at = 0; y < height; y += 1) {
    const fy = cosines(y, height);
    for (let x = 0; x < width; x += 1, at += 4) {
      const fx = columns[x];
      const value = (first, terms, across, down) => {
        let sum = first;
        for (let v = 0, n = 0; v < down; v += 1) {
          for (let u = v ? 0 : 1; u * down < across * (down - v); u += 1, n += 1) sum += terms[n] * fx[u] * fy[v] * 2;
        }
        return sum;
      };
      const light = value(average.l, l, nx, ny);
      const yellow = value(average.p, p, 3, 3);
      const red = value(average.q, q, 3, 3);
      const blue = light - (2 / 3) * yellow;
      const warm = (3 * light - blue + red) / 2;
      pixels[at] = 255 * warm;
      pixels[at + 1] = 255 * (warm - red);
      pixels[at + 2] = 255 * blue;
      pixels[at + 3] = hasAlpha ? 255 * value(alpha.average, a, 5, 5) : 255;
    }
  }
  return { width, height, pixels };
}
