// SPDX-License-Identifier: AGPL-3.0-or-later
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, path } from "../api/client";
import { Button, CopyButton, ErrorNote, Field, inputClass } from "../ui/controls";
import { CheckIcon, CloseIcon, SelectIcon } from "../ui/icons";
import { Popover } from "../ui/popover";
import { useToast } from "../ui/toast";
import type { TaskSearch } from "./filters";
import { TrashIcon, ViewsIcon } from "./icons";
import { applied, filtersOf, matchingView, type SavedView, savedViews, textOf } from "./views";

const maxName = 80;

interface Props {
  slug: string;
  search: TaskSearch;
  onApply: (search: TaskSearch) => void;
}

/** Views keeps filters under names: to open, save, rename, delete, and to share by address. */
export function Views({ slug, search, onApply }: Props) {
  const [open, setOpen] = useState(false);
  const views = useQuery(savedViews(slug));
  const current = matchingView(views.data ?? [], search);
  return (
    <Popover
      label="Saved views"
      align="end"
      open={open}
      onOpenChange={setOpen}
      trigger={
        <Button title="Saved views" aria-label={current ? `Saved view ${current.name}` : "Saved views"}>
          <ViewsIcon />
          <span className="max-w-40 truncate max-xl:sr-only">{current?.name ?? "Views"}</span>
          <SelectIcon className="size-3.5 text-soft" />
        </Button>
      }
    >
      <div className="w-80 max-w-full space-y-3 p-2" data-testid="views">
        {views.error && (
          <ErrorNote
            error={views.error}
            what="Your views could not be loaded"
            onRetry={() => void views.refetch()}
          />
        )}
        {views.data?.length === 0 && (
          <p className="text-soft">
            A view is a filter with a name, for you alone. Set a filter, then save it here.
          </p>
        )}
        <ul className="max-h-72 overflow-y-auto">
          {views.data?.map((view) => (
            <ViewRow
              key={view.id}
              slug={slug}
              view={view}
              current={view.id === current?.id}
              onApply={() => {
                onApply(applied(view, search));
                setOpen(false);
              }}
            />
          ))}
        </ul>
        <Save slug={slug} search={search} taken={views.data ?? []} />
        <div className="flex items-center justify-between gap-2 border-line border-t pt-2">
          <span className="text-soft text-xs">The address holds the whole view.</span>
          <CopyButton text={window.location.href} label="Copy the address" />
        </div>
      </div>
    </Popover>
  );
}

function useSave(slug: string, onDone: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: { id?: string; name: string; filters: SavedView["filters"] }) =>
      id
        ? api.put<SavedView>(path`/projects/${slug}/saved-views/${id}`, body)
        : api.post<SavedView>(path`/projects/${slug}/saved-views`, body),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: savedViews(slug).queryKey });
      onDone();
    },
  });
}

function Save({ slug, search, taken }: { slug: string; search: TaskSearch; taken: SavedView[] }) {
  const [name, setName] = useState("");
  const toast = useToast();
  const save = useSave(slug, () => {
    toast("good", `Saved as ${name.trim()}`);
    setName("");
  });
  const same = taken.find((view) => view.name.toLowerCase() === name.trim().toLowerCase());
  return (
    <form
      className="space-y-2 border-line border-t pt-2"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim() && !save.isPending)
          save.mutate({ id: same?.id, name: same?.name ?? name.trim(), filters: filtersOf(search.q) });
      }}
    >
      <Field
        label="Save the filter as"
        value={name}
        maxLength={maxName}
        placeholder={search.q || "everything"}
        autoComplete="off"
        onChange={(event) => setName(event.target.value)}
      />
      {save.error && <ErrorNote error={save.error} what="The view was not saved" />}
      <Button
        type="submit"
        kind="primary"
        busy={save.isPending}
        reason={name.trim() ? null : "Give it a name"}
      >
        {same ? `Replace ${same.name}` : "Save"}
      </Button>
    </form>
  );
}

function ViewRow({
  slug,
  view,
  current,
  onApply,
}: {
  slug: string;
  view: SavedView;
  current: boolean;
  onApply: () => void;
}) {
  const client = useQueryClient();
  const toast = useToast();
  const [name, setName] = useState<string | null>(null);
  const [sure, setSure] = useState(false);
  const rename = useSave(slug, () => setName(null));
  const remove = useMutation({
    mutationFn: () => api.delete(path`/projects/${slug}/saved-views/${view.id}`),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: savedViews(slug).queryKey });
      toast("good", `Deleted the view ${view.name}`);
    },
    onError: (error) => toast("bad", `${view.name} was not deleted: ${error.message}`),
  });
  if (name !== null)
    return (
      <li>
        <form
          className="flex items-center gap-1 py-0.5"
          onSubmit={(event) => {
            event.preventDefault();
            if (name.trim()) rename.mutate({ id: view.id, name: name.trim(), filters: view.filters });
          }}
        >
          <input
            // biome-ignore lint/a11y/noAutofocus: the reader just asked to write here
            autoFocus
            aria-label={`New name of ${view.name}`}
            className={inputClass}
            maxLength={maxName}
            value={name}
            onChange={(event) => setName(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              event.stopPropagation();
              setName(null);
            }}
          />
          <Button type="submit" busy={rename.isPending} aria-label="Keep the new name">
            <CheckIcon />
          </Button>
        </form>
        {rename.error && <p className="text-bad text-xs">{rename.error.message}</p>}
      </li>
    );
  const text = textOf(view.filters);
  const small =
    "grid h-8 shrink-0 place-items-center rounded-md px-1.5 text-soft hover:bg-raised hover:text-ink max-sm:size-10";
  return (
    <li className="flex items-center gap-0.5">
      <button
        type="button"
        aria-current={current || undefined}
        title={text || "Everything"}
        onClick={onApply}
        className="flex min-h-8 min-w-0 flex-1 flex-col justify-center rounded-md px-2 py-1 text-left hover:bg-raised aria-[current]:bg-accent-wash"
      >
        <span className="max-w-full truncate font-medium">{view.name}</span>
        <span className="max-w-full truncate text-soft text-xs">{text || "everything"}</span>
      </button>
      {sure ? (
        <>
          <button type="button" className={`${small} text-bad`} onClick={() => remove.mutate()}>
            Delete
          </button>
          <button type="button" className={small} aria-label="Keep it" onClick={() => setSure(false)}>
            <CloseIcon className="size-3.5" />
          </button>
        </>
      ) : (
        <>
          <button
            type="button"
            className={`${small} text-xs`}
            aria-label={`Rename ${view.name}`}
            onClick={() => setName(view.name)}
          >
            Rename
          </button>
          <button
            type="button"
            className={small}
            aria-label={`Delete ${view.name}`}
            title="Delete"
            onClick={() => setSure(true)}
          >
            <TrashIcon />
          </button>
        </>
      )}
    </li>
  );
}
