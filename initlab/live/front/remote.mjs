// Questions and answers over any channel that carries messages.

/** `post(message)` sends; the returned `hear(answer)` must be called with every answer. */
export function remote(post) {
  let id = 0;
  const waiting = new Map();
  return {
    ask: (message) => new Promise((resolve, reject) => {
      id += 1;
      waiting.set(id, { resolve, reject });
      post({ ...message, id });
    }),
    hear({ id: to, result, error }) {
      const asked = waiting.get(to);
      waiting.delete(to);
      if (error !== undefined && error !== null) asked?.reject(new Error(error));
      else asked?.resolve(result);
    },
    /** Nobody will answer any more. */
    hangUp(error) {
      for (const asked of waiting.values()) asked.reject(error);
      waiting.clear();
    },
  };
}
