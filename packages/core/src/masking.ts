/**
 * `amqp://user:secret@host` becomes `amqp://***@host`, `password=secret` `password=***`, and so do what follows
 * `Authorization:`, a bearer token, a JSON web token and a quoted member of such a name, wherever in a text it stands.
 * In time that grows with the text and no faster: anybody may have written it.
 */
export function maskCredentials(text: string): string {
  return text
    .replaceAll(quotedPassword, '$1***')
    .replaceAll(header, '$1***')
    .replaceAll(member, (whole, before: string, name: string, between: string, quote: string) =>
      isSecretName(name) ? `${before}${name}${between}${quote}***${quote}` : whole,
    )
    .replaceAll(bearer, '$1***')
    .replaceAll(webToken, '***')
    .replaceAll(/[^\s"'<>]+/g, maskedWord)
}

/** Whether what has this name is a credential, as far as a name can tell. */
export function isSecretName(name: string): boolean {
  return secret.test(name)
}

const secret =
  /password|passwd|passphrase|pwd|secret|token|credential|signature|cookie|(?:access|api|private|signing|encryption)[-_]?key|authorization|^auth$|^sig$/i

/** As libpq has it in a connection string; without the quotes it is a word like others. */
const quotedPassword = /(\bpassword ?= ?)'[^']{0,500}'/gi
/** As HTTP has it, or as it is written in an object: all that follows on the line, or between the quotes. */
const header =
  /(\b(?:proxy-)?authorization["']?\s{0,3}[:=]\s{0,3}["']?|\b(?:set-)?cookie["']?\s{0,3}:\s{0,3}["']?|\bx-api-key["']?\s{0,3}:\s{0,3}["']?)[^\s"'][^\n\r"']{0,2000}/gi
/** `"token":"…"`, `apiKey: '…'`. */
const member =
  /((?<![\w-])["']?)([\w-]{1,60})(["']?\s{0,3}[:=]\s{0,3})(["'])(?:(?!\4)[^\n\r\\]|\\.){1,2000}\4/g
/** A word after it that holds a digit: without one it is a word of a sentence. */
const bearer = /(\bbearer\s{1,3})(?=[^\s\d]{0,200}\d)[\w.~+/=-]{8,}/gi
const webToken = /(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*/g
const parameter = /([?&;]|^)([\w.-]{1,60})=[^&;]*/g

function maskedWord(word: string): string {
  const scheme = word.indexOf('://')
  const at = word.lastIndexOf('@')
  // Stacks name the files of packages, with their versions behind an @.
  const isFile = word.slice(0, scheme).endsWith('file') && !word.includes('://', scheme + 1)
  const masked =
    scheme > 0 && at > scheme && !isFile
      ? `${word.slice(0, scheme + '://'.length)}***${word.slice(at)}`
      : word
  return masked.replaceAll(parameter, (whole, before: string, name: string) =>
    isSecretName(name) ? `${before}${name}=***` : whole,
  )
}
