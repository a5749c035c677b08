import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** Without this a new file may be gone after a power cut, whatever was synced into it. */
export async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
