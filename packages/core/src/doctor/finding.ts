/** Something that a person should know. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'info'
  /** Stable, for scripts: `worker-not-taking`. */
  readonly code: string
  readonly message: string
  /** The queue that it is about, where it is about one. */
  readonly queue?: string | undefined
}

const severities = ['error', 'warning', 'info'] as const

export function worstFirst(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity))
}
