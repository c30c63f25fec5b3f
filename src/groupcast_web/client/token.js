// What the page reads of its own token.

/** A claim of a JWT, or null where there is none to read. Nothing is verified: that is the service's work. */
export function claimIn(token, name) {
  try {
    const base64 = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes))[name] ?? null;
  } catch {
    return null;
  }
}
