/** What Errand logs to: pino's methods, so that any pino instance, or a child of one, fits. */
export interface Logger {
  debug(o: object, m?: string): void
  info(o: object, m?: string): void
  warn(o: object, m?: string): void
  error(o: object, m?: string): void
}
