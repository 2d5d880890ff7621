#!/usr/bin/env bash
# One would guess: an upload whose file is gone fails. Golden Retriever keeps files over a reload in
# IndexedDB, unless told otherwise up to 10 MiB each; a larger one comes back without its content
# (isGhost), and the page's "restore-confirmed" goes on with the uploads.
# What is: @uppy/aws-s3 throws for a file without data where no code listens, so Uppy's "complete" lists
# the file among the successful ones. No request was made and no error was told.
# Why it matters: the page says that a video has arrived which was never sent; the uploads that need to
# go on after a reload are the large ones. Look for isGhost before confirming, and raise maxFileSize.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --no-audit --no-fund --ignore-scripts --loglevel error \
    @uppy/core@6.3.1 @uppy/aws-s3@6.3.1 @uppy/golden-retriever@6.0.0 >/dev/null 2>&1
cat > lost.mjs <<'JS'
import Uppy from "@uppy/core";
import AwsS3 from "@uppy/aws-s3";

let requests = 0;
const errors = [];
const signRequest = async () => { requests += 1; throw new Error("asked"); };
const uppy = new Uppy().use(AwsS3, { shouldUseMultipart: true, signRequest });
uppy.on("upload-error", (file, error) => errors.push(error));
const id = uppy.addFile({ name: "a.mp4", type: "video/mp4", data: new Blob(["x".repeat(1000)]) });
const lost = process.argv[2] === "lost";
const file = uppy.getFile(id);
// As Golden Retriever restores a file: with its content, or as a ghost.
uppy.setState({
  files: { [id]: { ...file, isRestored: true, ...(lost ? { data: undefined, isGhost: true } : {}) } },
  currentUploads: { one: { fileIDs: [id], step: 0, result: {} } },
});
const result = await uppy.restore("one");
console.log(`requests ${requests} errors ${errors.length} successful ${result.successful.length}`);
JS
node -e 'for (const name of ["core", "aws-s3", "golden-retriever"])
  console.log(`@uppy/${name}`, require(`./node_modules/@uppy/${name}/package.json`).version)'
grep -o 'maxFileSize: 10 \* MiB' node_modules/@uppy/golden-retriever/lib/IndexedDBStore.js
failed=0
expect() { # wanted, then how the file came back
    local seen
    seen=$(node lost.mjs "$2" 2>/dev/null | tail -1)
    echo "$2: $seen"
    [[ $seen == "$1" ]] || failed=1
}
expect 'requests 1 errors 1 successful 0' kept
expect 'requests 0 errors 0 successful 1' lost
exit "$failed"
