"""Every line of the threat model is backed by tests, which are named here."""

import ast
import re

import pytest
from pages import ROOT

TERMINAL = "tests/cli/test_terminal_output.py"
MARKDOWN = "tests/report/test_markdown.py"
ENCRYPTION = "tests/storage/test_encryption.py"
GRANTS = "tests/storage/test_grants.py"
HOSTILE_ROWS = "tests/study/test_hostile_rows.py"
PRIVATE = "tests/storage/test_private_files.py"
SECRETS = "tests/acceptance/test_secrets.py"
SETTINGS = "tests/storage/test_settings_file.py"
STORE = "tests/storage/test_checkpoint_store.py"
SITE = "tests/report/test_dashboard_site.py"
EXACTNESS = "tests/training/test_exactness.py"
UNUSABLE = (EXACTNESS, "test_a_checkpoint_that_cannot_be_used_leaves_the_trial_at_its_start")

#: By the first words of a line: party, whether it can, and the tests that show it.
CLAIMS = {
    "see the command lines of lrsearch": [
        (SECRETS, "test_a_password_shows_nowhere"),
        (SECRETS, "test_a_password_on_the_command_line_is_refused"),
    ],
    "read databases, checkpoints, logs": [
        (PRIVATE, "test_a_database_and_what_sqlite_puts_beside_it"),
        (PRIVATE, "test_checkpoints_and_the_folders_above_them"),
        (PRIVATE, "test_the_output_of_trials"),
        (PRIVATE, "test_a_log_file"),
        (PRIVATE, "test_the_doctor_tells_once_what_others_may_read"),
    ],
    "name your database": [
        (SETTINGS, "test_a_file_of_another_user_is_ignored_and_a_line_says_so"),
        (SETTINGS, "test_a_link_to_a_file_of_another_user_is_ignored"),
        (SETTINGS, "test_a_file_that_everybody_may_write_is_ignored"),
        (SETTINGS, "test_nothing_is_sought_above_the_home_folder"),
    ],
    "have a checkpoint written into a file": [
        (PRIVATE, "test_a_checkpoint_is_not_written_through_a_link")
    ],
    "pose as the server of another machine": [
        (ENCRYPTION, "test_within_tls_it_goes"),
        (SECRETS, "test_a_server_proves_who_it_is"),
    ],
    "read a password in clear text": [
        (ENCRYPTION, "test_no_password_goes_in_clear_text_to_another_machine"),
        (ENCRYPTION, "test_with_sslmode_disable_it_goes"),
        (ENCRYPTION, "test_a_server_with_tls_is_spoken_to_within_it"),
    ],
    "turn encryption off": [
        (
            ENCRYPTION,
            "test_a_server_that_turns_tls_off_is_spoken_to_by_scram_and_not_in_clear_text",
        ),
        (ENCRYPTION, "test_no_password_goes_in_clear_text_to_another_machine"),
    ],
    "read every study": [(GRANTS, "test_each_role_does_its_work")],
    "change anything": [(GRANTS, "test_a_role_may_do_no_more")],
    "report any value for a trial": [(GRANTS, "test_a_worker_may_write_what_trials_are")],
    "end, fail and use up trials": [(GRANTS, "test_a_worker_may_write_what_trials_are")],
    "delete a study, or change": [
        (GRANTS, "test_a_role_may_do_no_more"),
        (GRANTS, "test_a_command_that_its_role_may_not_give_ends_in_one_line"),
    ],
    "change a priority, a limit": [(GRANTS, "test_a_role_may_do_no_more")],
    "give another name than its own": [
        ("tests/study/test_limits.py", "test_every_change_is_kept_with_who_made_it")
    ],
    "run code on the machine of another worker": [
        (HOSTILE_ROWS, "test_a_hostile_recipe_in_the_queue_is_a_failed_trial"),
        (HOSTILE_ROWS, "test_a_hostile_recipe_that_is_taken_over_is_a_failed_trial"),
        (HOSTILE_ROWS, "test_pickles_in_attributes_are_never_read"),
        UNUSABLE,
    ],
    "drive the terminal": [
        (TERMINAL, "test_a_command_prints_no_character_that_a_terminal_obeys"),
        (TERMINAL, "test_log_lines_drive_nothing"),
        (TERMINAL, "test_what_rich_draws_drives_nothing_but_what_rich_adds"),
        ("tests/report/test_live_view.py", "test_a_metrics_name_is_no_markup_of_richs"),
    ],
    "put HTML, links or pictures": [
        (MARKDOWN, "test_a_report_has_no_html_link_or_picture_of_its_notes_metrics_and_reasons"),
        ("tests/report/test_report.py", "test_what_users_wrote_is_text_not_markup"),
    ],
    "put a formula into a table": [("tests/cli/test_csv.py", "test_a_metrics_name_is_no_formula")],
    "lead another worker to a file": [
        ("tests/worker/test_checkpoints.py", "test_a_row_that_leads_elsewhere_is_left_alone"),
        (STORE, "test_a_name_that_is_none_of_ours_is_neither_read_nor_removed"),
    ],
    "fill another worker's memory": [
        UNUSABLE,
        ("tests/worker/test_checkpoints.py", "test_a_checkpoint_beyond_all_bounds_is_not_read"),
    ],
    "create, change and delete every study": [(GRANTS, "test_each_role_does_its_work")],
    "have a worker run code that is not on its machine": [
        (HOSTILE_ROWS, "test_a_foreign_task_is_not_run"),
        (HOSTILE_ROWS, "test_a_hostile_definition_is_refused_in_one_line"),
        (HOSTILE_ROWS, "test_a_class_that_only_a_definition_names_is_not_imported_from_a_folder"),
        ("tests/task/test_task.py", "test_other_code_is_not_run_before_it_is_refused"),
        ("tests/spec/test_program.py", "test_a_command_that_no_file_here_has_is_refused"),
    ],
    "read the passwords of other roles": [
        (SECRETS, "test_a_password_shows_nowhere"),
        ("tests/worker/test_worker_facts.py", "test_no_password_of_a_url_is_kept"),
    ],
    "remove checkpoints": [
        ("tests/worker/test_checkpoints.py", "test_what_cannot_be_read_gives_way_to_the_one_before")
    ],
    "change a trial's weights unnoticed": [
        (STORE, "test_a_file_that_is_missing_or_altered_is_none_and_one_line")
    ],
    "run code by a checkpoint": [UNUSABLE],
    "fill a worker's memory, or hold it up": [
        (STORE, "test_a_huge_file_takes_no_memory"),
        (STORE, "test_what_is_no_file_is_not_waited_for"),
        (STORE, "test_a_link_is_not_followed"),
    ],
    "run code on each machine that runs the file": [
        ("tests/spec/test_program.py", "test_a_command_is_taken_from_a_study_file_that_is_here")
    ],
    "run code by the YAML itself": [
        ("tests/spec/test_study_files_are_data.py", "test_yaml_makes_no_objects")
    ],
    "learn the database's password": [
        ("tests/worker/test_environment.py", "test_a_script_is_told_no_password")
    ],
    "draw attention away": [
        (MARKDOWN, "test_a_report_has_no_html_link_or_picture_of_its_notes_metrics_and_reasons"),
        ("tests/report/test_report.py", "test_notes_are_shown_as_they_are"),
    ],
    "read the reports of all studies": [
        (SITE, "test_the_index_names_every_study_and_how_it_stands"),
        (SITE, "test_the_names_of_this_machine_are_answered"),
    ],
    "reach it by the name of another host": [(SITE, "test_a_request_to_another_host_is_refused")],
    "change a study": [(SITE, "test_nothing_is_taken")],
}

PAGE = (ROOT / "docs" / "howto" / "security.md").read_text(encoding="utf-8")
LINES = re.findall(r"^- (.*)$", PAGE, re.MULTILINE)


def of(line):
    """The claim that a line of the page is: the one with most of its words."""
    return max((claim for claim in CLAIMS if line.startswith(claim)), key=len, default=None)


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_threat_model_is_backed_by_tests(line):
    claim = of(line)
    assert claim is not None, "name its tests here"
    for file, name in CLAIMS[claim]:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        (test,) = [node for node in found if node.name == name]
        assert "pytest.mark.slow" not in [ast.unparse(mark) for mark in test.decorator_list]


def test_every_claim_is_a_line_of_the_threat_model():
    assert sorted(CLAIMS) == sorted(map(of, LINES))
