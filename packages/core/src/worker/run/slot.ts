/** A slot of a pool, from the moment at which its job begins. */
export interface Slot {
  /** Outcomes that may wait for the log before slots wait for them. */
  readonly backlog: number
  readonly isTaken: boolean
  /** Its job has ended. To say it twice does no harm. */
  giveBack(): void
  /** Its job goes back to the log without having begun. */
  giveBackUnbegun(): void
  /** Resolves as the recording of the end does; the slot is still taken, and waits for the log. */
  untilRecorded<T>(recording: Promise<T>): Promise<T>
  /** The handler has not ended in time and goes on without a slot. How many of the pool do so, and whether that is as many as it has slots. */
  abandon(handler: Promise<unknown>): { readonly count: number; readonly isAll: boolean }
}

/** A job that was granted to this worker and has not begun. */
export interface Granted {
  begin(slot: Slot): void
  /** It will have no slot. */
  giveBack(): void
}

/** Where granted jobs get their slots. */
export interface SlotSource {
  /** Begins the job now, or when those before it have begun. False when there is no room for it. */
  start(job: Granted): boolean
}
