// What a hub model is called: owner/name, or owner/name@revision. It knows names, not hubs.

/** A model at a revision: a branch, a tag or a commit's hash. */
export interface HubModel {
  /** `owner/name`. */
  id: string;
  revision: string;
}

export const mainRevision = "main";

const pattern = /^([\w.-]+\/[\w.-]+)(?:@([\w.+-]+(?:\/[\w.+-]+)*))?$/;

/** The model that `owner/name` or `owner/name@revision` names; undefined where it is neither. */
export function parseHubModel(text: string): HubModel | undefined {
  const [, id, revision = mainRevision] = pattern.exec(text) ?? [];
  if (id === undefined || [...id.split("/"), ...revision.split("/")].some((part) => /^\.+$/.test(part))) {
    return undefined;
  }
  return { id, revision };
}

/** As people write it. */
export function nameOf({ id, revision }: HubModel): string {
  return revision === mainRevision ? id : `${id}@${revision}`;
}
