// The elements of index.html.

/**
 * The element with this id. Throws if there is none.
 * @param {string} id
 */
export function $(id) {
  return $as(id, HTMLElement);
}

/**
 * The element with this id and class. Throws if there is none.
 * @template {HTMLElement} E
 * @param {string} id
 * @param {new () => E} kind
 * @returns {E}
 */
export function $as(id, kind) {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new TypeError(`The page has no ${kind.name} with the id ${id}.`);
}

/**
 * The elements of a class that match a selector, below a root or in the whole page.
 * @template {HTMLElement} E
 * @param {string} selector
 * @param {new () => E} kind
 * @param {ParentNode} root
 * @returns {E[]}
 */
export function all(selector, kind, root = document) {
  return [...root.querySelectorAll(selector)].flatMap((one) => (one instanceof kind ? [one] : []));
}
