/** Preloaded into a process whose clock is wrong by `CLOCK_OFF_MS`: every `Date` is off by that. */
const offMs = Number(process.env['CLOCK_OFF_MS'])
const RealDate = Date

class WrongDate extends RealDate {
  constructor(...given: ConstructorParameters<typeof RealDate> | []) {
    if (given.length === 0) super(RealDate.now() + offMs)
    else super(...given)
  }
  static override now(): number {
    return RealDate.now() + offMs
  }
}

globalThis.Date = WrongDate as DateConstructor
