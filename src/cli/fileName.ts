/**
 * The names under which files of a peer are stored. Whatever the peer calls a file, the result is one plain name: no path, not
 * hidden, nothing that moves a cursor, valid on every usual file system. It touches no file.
 */

/** Bytes of UTF-8 that a name may have; 255 is usual, and the longest addition (`partName`) takes 22. */
const maxNameBytes = 200
/** A longer extension is no extension. */
const maxExtension = 20

/** Names that Windows takes for devices, with any extension. */
const deviceName = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i

/** What Windows drops from the end of a name. */
const endings = /[\s.]+$/

/** Where the extension begins; the length of the name when there is none. */
const extensionAt = (name: string): number => {
  const at = name.lastIndexOf(".")
  return at <= 0 || name.length - at > maxExtension ? name.length : at
}

const byteLength = (text: string): number => Buffer.byteLength(text, "utf8")

/** Cuts whole characters off the end until `text` fits. */
const cut = (text: string, bytes: number): string => {
  const characters = Array.from(text)
  let size = byteLength(text)
  while (size > bytes) size -= byteLength(characters.pop() ?? "")
  return characters.join("")
}

/** A plain file name made of what a peer called its file. */
export const safeName = (offered: string): string => {
  const plain = offered.normalize("NFC")
    // Separators, what Windows forbids, and everything that is not seen or changes how the rest is shown.
    .replaceAll(/[/\\<>:"|?*\p{Control}\p{Format}\p{Surrogate}\p{Line_Separator}\p{Paragraph_Separator}]/gu, "_")
    .replace(/^[\s.]+/, "_")
    .replace(endings, "")
  const named = plain === "" ? "_" : deviceName.test(plain) ? `_${plain}` : plain
  if (byteLength(named) <= maxNameBytes) return named
  const at = extensionAt(named)
  const extension = named.slice(at)
  return cut(named.slice(0, at), maxNameBytes - byteLength(extension)).replace(endings, "") + extension
}

/** `name.txt`, `name (1).txt`, `name (2).txt` and so on. */
export const numbered = (name: string, number: number): string => {
  if (number === 0) return name
  const at = extensionAt(name)
  return `${name.slice(0, at)} (${number})${name.slice(at)}`
}

/**
 * The name of the unfinished file. It contains 16 digits of the whole file's SHA-256: two files of one name do not meet, and a file
 * of the user's is not mistaken for an unfinished one.
 */
export const partName = (name: string, sha256: Uint8Array): string =>
  `${name}.${Buffer.from(sha256.subarray(0, 8)).toString("hex")}.part`
