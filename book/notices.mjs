// The licences of the packages that went into a bundle, as one text. Of packages that come without
// theirs, it lies in book/licenses under their name or their scope's, from the same project.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What to write beside the bundle of this esbuild `metafile`. */
export function notices(root, metafile) {
  const folders = Object.keys(metafile.inputs)
    .map((file) => file.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1])
    .filter(Boolean);
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    const file = readdirSync(join(root, folder)).find((entry) => /^licen[sc]e/i.test(entry));
    const kept = [name, name.split("/")[0]].map((of) => join(root, "book/licenses", `${of}.txt`));
    const text = [...(file ? [join(root, folder, file)] : []), ...kept].find(existsSync);
    if (!text) throw new Error(`${name} comes without the text of its licence: put it at ${kept.at(-1)}`);
    return `${name} ${version} (${license})\n\n${readFileSync(text, "utf8").trim()}`;
  });
  return `${texts.join(`\n\n${"-".repeat(72)}\n\n`)}\n`;
}
