// sharp (npm), as a process of `safelight bench`. The protocol is described in implementations.py.
// Arguments: the folder that holds node_modules, the mode (per-output, per-size, once or qualities), the
// work as JSON.
'use strict';

const { createRequire } = require('node:module');
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');

const [folder, mode, workText] = process.argv.slice(2);
const sharp = createRequire(path.join(path.resolve(folder), 'from-here.cjs'))('sharp');
const wanted = JSON.parse(workText);

sharp.concurrency(1);
sharp.cache(false);

const resized = (pipeline, size) =>
  pipeline.resize({
    width: size.width,
    height: size.height,
    fit: size.cover ? 'cover' : 'inside',
    withoutEnlargement: true,
  });

const encoders = {
  jpeg: (pipeline, quality = wanted.jpeg_quality) => pipeline.jpeg({ quality, progressive: true }),
  webp: (pipeline, quality = wanted.webp_quality) => pipeline.webp({ quality, effort: wanted.webp_effort }),
};

async function pixels(pipeline) {
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true });
  const raw = { width: info.width, height: info.height, channels: info.channels };
  return () => sharp(data, { raw });
}

// One pipeline for every file.
async function perOutput(data) {
  const made = [];
  for (const size of wanted.sizes) {
    for (const [format, encoded] of Object.entries(encoders)) {
      const pipeline = encoded(resized(sharp(data).autoOrient(), size));
      made.push({ name: size.name, format, data: await pipeline.toBuffer() });
    }
  }
  return made;
}

// Both formats of every size from the same resized pixels, which come from `opened`.
async function perSize(data, opened = () => sharp(data).autoOrient()) {
  const made = [];
  for (const size of wanted.sizes) {
    const small = await pixels(resized(opened(), size));
    for (const [format, encoded] of Object.entries(encoders)) {
      made.push({ name: size.name, format, data: await encoded(small()).toBuffer() });
    }
  }
  return made;
}

// The same from one decode of the whole picture.
async function once(data) {
  return perSize(data, await pixels(sharp(data).autoOrient()));
}

// The picture as it is, in both formats at each quality, which is the file's name.
async function qualities(data) {
  const made = [];
  for (const quality of wanted.qualities) {
    for (const [format, encoded] of Object.entries(encoders)) {
      made.push({ name: String(quality), format, data: await encoded(sharp(data), quality).toBuffer() });
    }
  }
  return made;
}

const work = { 'per-output': perOutput, 'per-size': perSize, once, qualities }[mode];
const say = (answer) => fs.writeSync(1, JSON.stringify(answer) + '\n');

async function answer(request) {
  const data = fs.readFileSync(request.photo);
  const before = process.cpuUsage();
  const made = await work(data);
  const spent = process.cpuUsage(before);
  const files = [];
  if (request.out !== null) {
    for (const { name, format, data: bytes } of made) {
      const file = path.join(request.out, `${name}.${format}`);
      fs.writeFileSync(file, bytes);
      files.push({ name, format, path: file });
    }
  }
  return { seconds: { total: (spent.user + spent.system) / 1e6 }, files };
}

async function main() {
  const { sharp: version, vips, webp, mozjpeg } = sharp.versions;
  say({
    versions: { sharp: version, node: process.versions.node, libvips: vips, libwebp: webp, mozjpeg },
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let reply;
    try {
      reply = await answer(JSON.parse(line));
    } catch (error) {
      reply = { error: `${error.name}: ${error.message}` };
    }
    say(reply);
  }
}

main();
