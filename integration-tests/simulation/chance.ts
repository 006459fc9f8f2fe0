import { seeded } from '../../packages/testkit/src/seeded.ts'

/** The source of every choice of a run: one generator, so that one number replays all of it. */
export class Chance {
  readonly next: () => number

  constructor(seed: number) {
    this.next = seeded(seed)
    // Neighbouring seeds begin alike.
    for (let skipped = 0; skipped < 4; skipped += 1) this.next()
  }

  happens(rate: number): boolean {
    return rate > 0 && this.next() < rate
  }

  between(min: number, max: number): number {
    return min + (max - min) * this.next()
  }

  /** A whole number, both ends included. */
  whole(min: number, max: number): number {
    return min + Math.floor((max - min + 1) * this.next())
  }

  pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(choices.length * this.next())] as T
  }

  /** Mostly short, sometimes long, as in networks and databases. */
  delay(slowRate: number, slowMs: number): number {
    return this.happens(slowRate) ? this.between(50, slowMs) : this.between(0, 5)
  }

  bytes<T extends Uint8Array>(into: T): T {
    for (let index = 0; index < into.length; index += 1) into[index] = Math.floor(256 * this.next())
    return into
  }

  uuid(): string {
    const hex = Buffer.from(this.bytes(new Uint8Array(16))).toString('hex')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
  }
}
