// What the client knows of its own token.

// What a subprotocol may be made of (RFC 9110, 5.6.2); every JWT is.
const TRAVELS = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Whether a token can be part of a handshake: a line break at its end, say, cannot.
 * @param {unknown} token
 */
export function mayTravel(token) {
  return typeof token === "string" && TRAVELS.test(token);
}

/**
 * A claim of a JWT that is a text, or null where there is none to read. Nothing is verified: that is the
 * service's work.
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
