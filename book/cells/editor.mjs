// CodeMirror as the page's code looks: its colours are the page's.

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { HighlightStyle, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { Prec } from "@codemirror/state";
import { EditorView, drawSelection, keymap } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword], color: "var(--lab-code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--lab-code-string)" },
  { tag: tags.comment, color: "var(--lab-code-comment)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--lab-code-number)" },
  { tag: [tags.definition(tags.variableName), tags.function(tags.variableName)], color: "var(--lab-code-name)" },
]);

/**
 * An editor of Python. Shift+Enter and Ctrl+Enter run; Tab leaves it, as it does everywhere on a page.
 * @param {string} doc
 * @param {string} label for those who do not see where it stands
 * @param {{run: () => void, changed: () => void}} acts
 */
export function editor(doc, label, { run, changed }) {
  const act = () => (run(), true);
  return new EditorView({
    doc,
    extensions: [
      Prec.highest(keymap.of([{ key: "Shift-Enter", run: act }, { key: "Mod-Enter", run: act }])),
      keymap.of([...defaultKeymap, ...historyKeymap]),
      history(),
      drawSelection(),
      python(),
      indentUnit.of("    "),
      syntaxHighlighting(colours),
      EditorView.contentAttributes.of({ "aria-label": label }),
      EditorView.updateListener.of((update) => update.docChanged && changed()),
    ],
  });
}
