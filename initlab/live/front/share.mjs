// What leads back to a configuration: an address of the page, or a call for a notebook.

import { SECTIONS } from "./sections.mjs";
import { fitting } from "./controls.mjs";

/** Names of the settings that a reader can change. */
export const shared = (section) => [...SECTIONS[section].controls, "seed"];

/** The call that shows the same in a notebook. */
export function call(section, settings) {
  const python = (v) => (typeof v === "boolean" ? (v ? "True" : "False") : JSON.stringify(v));
  const given = shared(section).map((name) => `, ${name}=${python(settings[name])}`);
  return `Live("${section}"${given.join("")})`;
}

/** The section's settings, with those of `given` that it knows, brought to values that exist. */
export function settle(section, given, about) {
  const settings = { ...SECTIONS[section].initial };
  for (const [name, value] of Object.entries(given ?? {})) {
    if (!Object.hasOwn(settings, name)) continue;
    const fit = name === "seed" ? Math.trunc(Number(value)) : fitting(name, value, about);
    if (fit !== undefined && !Number.isNaN(fit)) settings[name] = fit;
  }
  return settings;
}

/** Put text on the clipboard; false where that is not allowed. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
