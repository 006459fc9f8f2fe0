/** What was asked for cannot be done; the message says all there is to say, to a person. */
export class Unusable extends Error {
  override readonly name = 'Unusable'
}
