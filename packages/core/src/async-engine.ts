/** For authors of job logs on a database that answers over a network: the host that the engine of `@errand/core/engine` runs on. */
export { asyncHost } from './engine/async/host.ts'
export { answerEach, pickArguments } from './engine/async/questions.ts'
export type {
  Answer,
  Answerers,
  Answers,
  KeyFound,
  Question,
  QuestionKind,
} from './engine/async/questions.ts'
export type { Changes } from './engine/async/changes.ts'
export type { AsyncDatabase, AsyncTransaction, Locks } from './engine/async/database.ts'
