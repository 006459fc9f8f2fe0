/** The four priorities of a queue, highest first. */
export const lanes = ['critical', 'high', 'normal', 'low'] as const
export type Lane = (typeof lanes)[number]

/** How logs store a lane: ascending order is highest first. The gaps are for future lanes. */
export const laneRank: Readonly<Record<Lane, number>> = { critical: 100, high: 200, normal: 300, low: 400 }

export function laneOfRank(rank: number): Lane {
  const lane = lanes.find((name) => laneRank[name] === rank)
  if (!lane) throw new RangeError(`no lane has the rank ${rank}`)
  return lane
}
