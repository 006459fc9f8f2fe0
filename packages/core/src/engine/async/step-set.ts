import type { NewMessage, StoredStep, UnreadMessage } from '../../job/memory.ts'
import type { StepStore, StepTotals } from '../step-store.ts'
import type { Changes } from './changes.ts'
import { formatQuestion } from './known.ts'
import type { Known } from './known.ts'
import type { Answers, Question, QuestionKind, QuestionOf } from './questions.ts'

interface Parts {
  readonly known: Known
  /** The answer to a question. If it was not read, the others are read with it. */
  readonly ask: <K extends QuestionKind>(
    question: QuestionOf<K>,
    others?: () => readonly Question[],
  ) => Answers[K]
  readonly made: Changes
  /** For the methods that change something. */
  readonly changing: () => Changes
  /** Jobs that the rules may go through one after another: what they want to know of one is read of all. */
  readonly suspended: () => readonly string[]
}

const lengthOf = (step: StoredStep | undefined): number => step?.body?.text.length ?? 0

/** What jobs remember, as it was read, with what the rules have changed since. */
export function createStepSet({ known, ask, made, changing, suspended }: Parts): Omit<StepStore, 'stateOf'> {
  const changedOf = (job: string) => [...made.steps.values()].filter((step) => step.job === job)
  const addedOf = (job: string) =>
    made.messages.flatMap(({ message }) => (message.job === job ? message : []))
  const takenOf = (job: string) => made.messagesTaken.filter((taken) => taken.job === job)
  const ofSuspended = (): Question[] =>
    suspended().flatMap((job): Question[] => [
      ['openWaits', job],
      ['stepTotals', job],
    ])
  /** Messages for the waits of all jobs whose waits were read. */
  const ofOpenWaits = (): Question[] =>
    [...known.waiting].flatMap((job) => {
      const names = Map.groupBy(store.openWaits(job), ({ kind, on }) => (kind === 'message' ? on : undefined))
      return [...names].flatMap(([name, waits]): Question[] =>
        name === undefined ? [] : [['unread', job, name, waits.length]],
      )
    })
  const readWaits = (job: string): StoredStep[] => ask(['openWaits', job], ofSuspended)
  const readStep = (job: string, name: string): StoredStep | undefined =>
    known.has(['step', job, name])
      ? known.get(['step', job, name])
      : readWaits(job).find((wait) => wait.name === name)

  const store: Omit<StepStore, 'stateOf'> = {
    step: (job, name) => made.steps.get(formatQuestion([job, name])) ?? ask(['step', job, name]),
    stepTotals(job): StepTotals {
      const read = ask(['stepTotals', job], ofSuspended)
      return changedOf(job).reduce((totals, step) => {
        const before = readStep(job, step.name)
        return {
          steps: totals.steps + (before ? 0 : 1),
          order: Math.max(totals.order, step.order ?? 0),
          characters: totals.characters + lengthOf(step) - lengthOf(before),
        }
      }, read)
    },
    steps: (job) => ask(['steps', job]),
    openWaits(job) {
      const waits = new Map(readWaits(job).map((wait) => [wait.name, wait]))
      for (const step of changedOf(job)) {
        if (step.order === undefined) waits.set(step.name, step)
        else waits.delete(step.name)
      }
      return [...waits.values()]
    },
    saveStep: (step) => void changing().steps.set(formatQuestion([step.job, step.name]), step),

    unread(job, name, limit) {
      const taken = takenOf(job).map(({ id }) => id)
      const added = made.messages.flatMap(({ message, at }) =>
        message.job === job ? toUnread(message, at) : [],
      )
      return [...ask(['unread', job, name, limit + taken.length], ofOpenWaits), ...added]
        .filter((message) => !taken.includes(message.id))
        .filter((message) => name === undefined || message.name === name)
        .slice(0, limit)
    },
    countUnread: (job) => ask(['countUnread', job]) + addedOf(job).length - takenOf(job).length,
    hasMessage: (job, id) =>
      addedOf(job).some((message) => message.id === id) || ask(['hasMessage', job, id]),
    addMessage: (message, at) => void changing().messages.push({ message, at }),
    takeMessage: (job, id) => void changing().messagesTaken.push({ job, id }),
    forget: (jobs) => {
      for (const job of jobs) changing().forgotten.add(job)
    },
  }
  return store
}

function toUnread({ id, name, by, payload }: NewMessage, at: number): UnreadMessage {
  return { id, name, by, at, payload }
}
