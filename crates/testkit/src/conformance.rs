//! What the ports promise, one function per clause. Each takes an end that holds nothing yet, and panics when the
//! end breaks its word.

#![expect(clippy::unwrap_used, reason = "these are tests, called from other crates")]

pub mod blobs;
pub mod names;
pub mod repositories;

use modelkeep_core::content::{Journal, Names, Source, Target};

/// An end that offers and takes blobs.
pub trait BlobEnd: Source + Target {}
impl<T: Source + Target> BlobEnd for T {}

/// An end that keeps names and history too.
pub trait NameEnd: Source + Target + Names + Journal {}
impl<T: Source + Target + Names + Journal> NameEnd for T {}

/// One test for each clause of [`conformance::blobs`](crate::conformance::blobs) that an end keeps which takes bytes at
/// any place. `$with` calls the clause that it is given with an empty end.
#[macro_export]
macro_rules! blob_tests {
    ($with:path) => {
        $crate::every_blob_tests!($with);
        $crate::clauses!($with, blobs:
            writes_may_come_in_any_order,
            a_blob_with_a_gap_leaves_nothing,
        );
    };
}

/// As [`blob_tests!`], for an end that takes bytes one after the other only, as a registry does.
#[macro_export]
macro_rules! sequential_blob_tests {
    ($with:path) => {
        $crate::every_blob_tests!($with);
        $crate::clauses!($with, blobs:
            bytes_out_of_order_are_refused_and_leave_nothing,
        );
    };
}

/// What every end owes.
#[doc(hidden)]
#[macro_export]
macro_rules! every_blob_tests {
    ($with:path) => {
        $crate::clauses!($with, blobs:
            what_is_committed_is_read_back,
            any_range_is_read,
            a_range_past_the_end_is_refused,
            what_was_never_written_is_not_found,
            a_committed_blob_is_needed_no_more,
            a_blob_of_another_size_is_needed,
            an_empty_blob_is_a_blob,
            a_blob_of_unknown_digest_is_found_by_what_was_hashed,
            either_algorithm_will_do,
            nothing_is_there_before_the_commit,
            a_dropped_sink_leaves_nothing,
            a_blob_that_is_not_what_was_expected_leaves_nothing,
            a_blob_that_is_not_whole_leaves_nothing,
            a_byte_is_not_written_twice,
            what_was_hashed_must_be_as_long_as_the_blob,
            one_blob_may_arrive_many_times_at_once,
            a_small_blob_is_put_and_fetched,
            a_fetch_reads_no_more_than_its_limit,
        );
    };
}

/// One test for each clause of [`conformance::names`](crate::conformance::names). `$with` calls the clause that it
/// is given with an empty end.
#[macro_export]
macro_rules! name_tests {
    ($with:path) => {
        $crate::clauses!($with, names:
            a_tag_is_what_it_was_last_set_to,
            tags_are_listed_in_byte_order,
            a_tag_points_at_nothing_but_a_manifest,
            a_removed_tag_is_gone_and_can_be_set_again,
            a_withdrawn_manifest_is_none_until_it_is_admitted_again,
            the_index_that_lists_a_manifest_is_found,
            a_manifest_is_admitted_with_all_that_it_needs,
            a_manifest_may_be_admitted_again,
            a_manifest_does_not_need_its_subject_or_what_lies_elsewhere,
            an_index_needs_its_manifests,
            what_is_not_a_manifest_is_not_admitted,
            entries_are_read_from_any_height,
            a_height_is_given_once_and_without_a_gap,
            a_change_sees_what_it_did,
            changes_take_turns,
            a_change_within_a_change_is_refused,
        );
    };
}

/// One test for each clause of [`conformance::repositories`](crate::conformance::repositories). `$with` calls the
/// clause that it is given with a registry that has no repository.
#[macro_export]
macro_rules! repository_tests {
    ($with:path) => {
        $crate::clauses!($with, repositories:
            what_is_not_there_is_observed_as_none,
            what_is_created_is_observed,
            what_was_never_said_is_observed_as_nothing,
            a_name_is_created_once,
            mutability_is_set_where_the_registry_keeps_it,
            catalog_data_is_replaced_whole_but_for_the_logo,
            resource_tags_are_added_changed_and_removed,
            a_policy_is_set_changed_and_removed,
            nothing_but_a_create_makes_a_repository,
            an_empty_repository_is_deleted,
            images_are_deleted_only_when_that_is_said,
            a_repository_made_again_has_nothing_of_the_one_before,
            what_breaks_a_limit_changes_nothing,
        );
    };
}

/// Tests that each call one clause of a module of [`conformance`](crate::conformance).
#[doc(hidden)]
#[macro_export]
macro_rules! clauses {
    ($with:path, $module:ident: $($clause:ident),+ $(,)?) => {
        $(
            #[test]
            fn $clause() {
                $with(&|end| $crate::conformance::$module::$clause(end));
            }
        )+
    };
}
