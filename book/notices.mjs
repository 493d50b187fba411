// The licences of the packages that went into a bundle, as one text.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What to write beside the bundle of this esbuild `metafile`. */
export function notices(root, metafile) {
  const folders = Object.keys(metafile.inputs)
    .map((file) => file.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1])
    .filter(Boolean);
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    const file = readdirSync(join(root, folder)).find((entry) => /^licen[sc]e/i.test(entry));
    const text = file ? readFileSync(join(root, folder, file), "utf8").trim() : "";
    return `${name} ${version} (${license})\n\n${text}`.trim();
  });
  return `${texts.join(`\n\n${"-".repeat(72)}\n\n`)}\n`;
}
