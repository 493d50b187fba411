/**
 * An element with these properties and children.
 * @param {string} name
 * @param {Object} properties `class`, `text`, and whatever else an element has
 */
export function element(name, { class: className = "", text, ...rest } = {}, ...children) {
  const made = Object.assign(document.createElement(name), rest);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

/** A button that does this. */
export const button = (text, act, properties = {}) =>
  element("button", { type: "button", class: "lab-button", text, onclick: act, ...properties });
