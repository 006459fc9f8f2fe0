import { testProject } from '../../../integration-tests/services/project.ts'

export default testProject({
  name: 'log-sqlite',
  folder: import.meta.dirname,
  servers: false,
  together: true,
})
