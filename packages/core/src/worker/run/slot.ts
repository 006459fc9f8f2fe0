/** A slot of a pool, from the moment at which its job begins. */
export interface Slot {
  /** How many outcomes may wait for the log before slots wait for them. */
  readonly backlog: number
  readonly isTaken: boolean
  /** Call it when the job has ended. A second call does nothing. */
  giveBack(): void
  /** Call it when the job goes back to the log without having begun. */
  giveBackUnbegun(): void
  /** Settles as `recording` does. The slot stays taken until then. */
  untilRecorded<T>(recording: Promise<T>): Promise<T>
  /**
   * Call it when the handler has not ended in time and goes on without a slot. Returns how many handlers of the pool do
   * so, and whether that is as many as it has slots.
   */
  abandon(handler: Promise<unknown>): { readonly count: number; readonly isAll: boolean }
}

/** A job that was granted to this worker and has not begun. */
export interface Granted {
  begin(slot: Slot): void
  /** Call it when it gets no slot. */
  giveBack(): void
}

/** Where granted jobs get their slots. */
export interface SlotSource {
  /** Begins the job now, or when those before it have begun. Returns false if there is no room for it. */
  start(job: Granted): boolean
}
