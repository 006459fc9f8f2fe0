import { testProject } from '../../../integration-tests/services/project.ts'

export default testProject({ name: 'cli', folder: import.meta.dirname, servers: true })
