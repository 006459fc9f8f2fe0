export { fromUrl, sqs } from './sqs.ts'
export type { SqsOptions } from './options.ts'
