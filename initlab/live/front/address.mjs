// A configuration as the hash of an address: `#live=start&depth=30&rule=he_normal`.

/** What the hash asks for: `{section, settings}` with values as text, or null. */
export function read(hash) {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  const section = asked.get("live");
  if (!section) return null;
  asked.delete("live");
  return { section, settings: Object.fromEntries(asked) };
}

/** The hash for `names` of these settings. */
export function hash(section, settings, names) {
  const asked = new URLSearchParams({ live: section });
  for (const name of names) asked.set(name, settings[name]);
  return `#${asked}`;
}
