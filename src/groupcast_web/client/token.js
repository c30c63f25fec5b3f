// Reads the client's own token.

// The characters of a subprotocol (RFC 9110, 5.6.2), which include those of every JWT.
const SUBPROTOCOL = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Whether a token can be part of a subprotocol; one with a line break cannot.
 * @param {unknown} token
 */
export function fitsSubprotocol(token) {
  return typeof token === "string" && SUBPROTOCOL.test(token);
}

/**
 * A text claim of a JWT, or null if it is missing or unreadable. Does not verify the token; the service does.
 * @param {string} token
 * @param {string} name
 * @returns {string | null}
 */
export function claimIn(token, name) {
  try {
    const base64 = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const claim = JSON.parse(new TextDecoder().decode(bytes))[name];
    return typeof claim === "string" ? claim : null;
  } catch {
    return null;
  }
}
