import type { Chance } from './chance.ts'

/** How often things go wrong, from 0 to 1 for each call or ticket. */
export interface Rates {
  /** The log: a call never arrives · is done and its answer lost · is done long after its error · is slow. */
  logRefuses: number
  logLosesReply: number
  logIsLate: number
  logIsSlow: number
  /** The broker: a publish fails · is taken and its confirm lost · is never answered · some tickets are refused. */
  publishFails: number
  confirmIsLost: number
  publishHangs: number
  publishRefuses: number
  /** A ticket is accepted and lost · comes more than once · comes late · overtakes others. */
  ticketIsLost: number
  ticketRepeats: number
  ticketIsLate: number
  ticketOvertakes: number
  /** The broker does not hear an ack or a release. */
  ackIsLost: number
  brokerIsSlow: number
  depthFails: number
  wakeupIsLost: number
  /** A process is killed at one of its first awaits. */
  killed: number
}

export type Disaster =
  | 'kill'
  | 'freeze'
  | 'logDown'
  | 'brokerDown'
  | 'brokerWiped'
  | 'timeSkip'
  | 'logClock'
  | 'workerClock'
  | 'restart'

const disasters: readonly Disaster[] = [
  'kill',
  'freeze',
  'logDown',
  'brokerDown',
  'brokerWiped',
  'timeSkip',
  'logClock',
  'workerClock',
  'restart',
]

const none: Rates = {
  logRefuses: 0,
  logLosesReply: 0,
  logIsLate: 0,
  logIsSlow: 0,
  publishFails: 0,
  confirmIsLost: 0,
  publishHangs: 0,
  publishRefuses: 0,
  ticketIsLost: 0,
  ticketRepeats: 0,
  ticketIsLate: 0,
  ticketOvertakes: 0,
  ackIsLost: 0,
  brokerIsSlow: 0,
  depthFails: 0,
  wakeupIsLost: 0,
  killed: 0,
}

/**
 * What goes wrong in one run. Each run has only some of the faults, each at its own rate: if everything fails at once,
 * nothing gets far enough to be interesting ("Swarm Testing", Groce and others, ISSTA 2012).
 */
export class Faults {
  rates: Rates
  readonly disasters: readonly Disaster[]
  /** The mean time between two disasters. */
  readonly disasterEveryMs: number

  constructor(chance: Chance) {
    const kinds = Object.keys(none) as (keyof Rates)[]
    const share = chance.between(0, 0.7)
    const drawn = kinds.map((kind) => {
      const rate = chance.happens(share) ? chance.pick([0.01, 0.05, 0.15, 0.4]) : 0
      return [kind, kind === 'killed' ? Math.min(1, 2 * rate) : rate]
    })
    this.rates = Object.fromEntries(drawn) as Record<keyof Rates, number>
    this.disasters = disasters.filter(() => chance.happens(share))
    this.disasterEveryMs = chance.pick([700, 2_000, 5_000])
  }

  /** From now on nothing goes wrong. */
  stop(): void {
    this.rates = none
  }
}
