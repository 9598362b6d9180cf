// SPDX-License-Identifier: AGPL-3.0-or-later
// The answers that home, overview, trends and issues are made of, under short names.
import type * as schema from "../api/schema";

export type Window = schema.Window;
export type Percentiles = schema.LatencyPublic;

export type Backlog = schema.Backlog;
export type WindowFigures = schema.Previous;
export type Overview = schema.OverviewPublic;

export type Bucket = schema.SeriesBucket;
export type Series = schema.SeriesPublic;
export type Breakdown = schema.BreakdownPublic;
export type BreakdownRow = schema.BreakdownRow;

export type Issue = schema.IssuePublic;
export type IssuePage = schema.IssueListResponse;
export type IssueDetail = schema.IssueDetail;
export type Share = schema.SharePublic;

export type Home = schema.HomePublic;
export type HomeProject = schema.HomeProject;
export type HomeFailure = schema.HomeFailure;
export type Attention = schema.HomeAttention;
