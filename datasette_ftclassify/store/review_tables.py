"""The tables of reviews, as migrations of `schema`."""

from __future__ import annotations

REVIEWS = (
    """
    create table _ftclassify_review_rows (
        job_id integer not null references _ftclassify_jobs(id), -- which made the queue
        place integer not null,          -- in the queue, from 1
        row_key text not null,           -- JSON array of the values that identify the row
        text_hash integer not null,      -- of the normalised text the row had
        suggested text,                  -- JSON array of positions in the queue's label set
        likely text not null,            -- JSON array of [position, probability]
        why text not null,               -- it is shown, for people
        at_random integer not null,      -- 1: drawn at random; 0: chosen by what a model says of it
        words text not null,             -- JSON array: that spoke for what is suggested
        neighbours text not null,        -- JSON array of the keys of rows with texts like its own
        state text not null,             -- open, done or skipped
        claimed_by text,                 -- who has it in front of them
        claimed_until real,              -- Unix time
        primary key (job_id, place)
    ) without rowid
    """,
    """
    create table _ftclassify_label_changes (
        id integer primary key,
        job_id integer not null,         -- of the queue
        place integer not null,          -- there
        source text not null,            -- the table
        row_key text not null,           -- as in the queue
        action text not null,            -- label, keep or skip
        cells_before text not null,      -- JSON array of the label columns' cells
        cells_after text not null,
        why text not null,               -- the row was shown
        note text not null,
        who text not null,
        created_at text not null,
        undone_by text,
        undone_at text
    )
    """,
    "create index _ftclassify_label_changes_row on _ftclassify_label_changes (source, row_key)",
    "create index _ftclassify_label_changes_job on _ftclassify_label_changes (job_id, place)",
)

CHANGE_BATCHES = (
    """
    create table _ftclassify_change_batches (
        id integer primary key,
        job_id integer,                  -- of the queue; NULL: in none
        source text not null,            -- the table
        columns text not null,           -- JSON array of the label columns
        said text not null,              -- what was done, for people
        rows integer not null,
        who text not null,
        created_at text not null,
        undone_by text,
        undone_at text
    )
    """,
    # what a change was made together with, and is undone with; NULL: alone
    "alter table _ftclassify_label_changes add column batch integer",
    "create index _ftclassify_label_changes_batch on _ftclassify_label_changes (batch)",
)
