"""Statements without their values, in the dialects' ways of writing them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.privacy import sql
from gnomon.privacy.sql import LONGEST, operation_and_table, sanitised


@pytest.mark.parametrize(
    ("statement", "clean"),
    [
        ("SELECT * FROM users WHERE email='a@b.c'", "SELECT * FROM users WHERE email=?"),
        ("SELECT t1.a2, 'it''s' FROM t1", "SELECT t1.a2, ? FROM t1"),
        ("WHERE x IN (1, 2,3) AND y = 0xFF AND z=1.5e-3 AND w=.5", "WHERE x IN (?) AND y = ? AND z=? AND w=?"),
        ("WHERE id IN (%(a_1)s, %(a_2)s)", "WHERE id IN (?)"),
        ("WHERE a=$1::int AND b=:id AND c=@p AND d=%s AND e=?", "WHERE a=$1::int AND b=:id AND c=@p AND d=%s AND e=?"),
        ("INSERT INTO `a`.`b2` (x,y) VALUES (1,'a'),\n (2,'b')", "INSERT INTO `a`.`b2` (x,y) VALUES (?)"),
        ("SELECT 1 -- of 'x'\nFROM t", "SELECT ? FROM t"),
        ("SELECT 1 # of 'x'\nFROM t", "SELECT ? FROM t"),
        ("SELECT a /* x /* 'y' */ z */ FROM t /* open 'x'", "SELECT a FROM t"),
        ("SELECT a#>'{b}' FROM t", "SELECT a#>? FROM t"),
        ("a=$$it's 'q'$$ AND b=$t$ $$ 'x' $t$ AND c=$t$open", "a=? AND b=? AND c=?"),
        (r"a=E'it\'s' AND b='plain'", "a=? AND b=?"),
        (r"a='C:\' AND b='secret'", "a=?"),
        (r"a='C:\\' AND b='secret'", "a=? AND b=?"),
        ("a='unterminated secret", "a=?"),
        ("a=N'x' AND b=X'00ff' AND c=b'01' AND d=U&'\\0041'", "a=? AND b=? AND c=? AND d=?"),
        ("a=q'[it's]' AND b=Q'!it's!'", "a=? AND b=?"),
        ("DATE '2020-01-01' + INTERVAL '1 day'", "DATE ? + INTERVAL ?"),
        ('SELECT "user"."id" FROM "user" WHERE a="a@b.c"', 'SELECT "user"."id" FROM "user" WHERE a=?'),
        ("SELECT a[1], [name 2], [name] FROM t", "SELECT a[?], [name ?], [name] FROM t"),
        ("LIMIT 10 OFFSET 12abc", "LIMIT ? OFFSET ?"),
        ("SELECT é2 FROM größe WHERE x=-5", "SELECT é2 FROM größe WHERE x=-?"),
        ("", ""),
    ],
)
def test_sanitised(statement: str, clean: str) -> None:
    """Values go, names with digits, casts and parameters stay; where dialects differ, the rest is a value."""
    assert sanitised(statement) == clean
    assert sanitised(statement) == clean  # remembered


def test_mysql_has_values_in_double_quotes() -> None:
    """And the standard has names there, which look like names."""
    statement = 'SELECT a FROM t WHERE b="secret"'
    assert sanitised(statement, ansi_quotes=False) == "SELECT a FROM t WHERE b=?"
    assert sanitised(statement) == statement


def test_long_statements_are_cut_and_many_are_forgotten() -> None:
    """Neither one statement nor all of them together fill the memory."""
    clean = sanitised("SELECT a FROM t WHERE b='" + "x" * LONGEST + "' AND c='secret'")
    assert clean == "SELECT a FROM t WHERE b=?…"
    for number in range(3000):
        sanitised(f"SELECT a{number} FROM t")
    assert sql._remembered.cache_info().currsize <= 1024


VALUE = "zq7secret9"
literals = st.one_of(
    st.text(alphabet="ab '%/*-#$\"\n;()", max_size=12).map(
        lambda text: "'" + (VALUE + text + VALUE).replace("'", "''") + "'"
    ),
    st.sampled_from(
        (f"$${VALUE}'$$", f"$x$ {VALUE} $$ $x$", f"E'\\'{VALUE}'", f"N'{VALUE}'", f"X'{VALUE}'", f"q'[{VALUE}']'")
    ),
    st.text(alphabet="ab'\\ ", max_size=8).map(
        lambda text: f"E'{text.replace(chr(92), chr(92) * 2).replace(chr(39), chr(92) + chr(39))}{VALUE}'"
    ),
    st.integers(0, 10**20).map(lambda number: f"7753191{number}"),
    st.floats(0, 1e30).map(lambda number: f"7753191{number}"),
)
between = st.sampled_from(
    (
        " AND a = ",
        ", ",
        " OR t1.b2 >= ",
        "/* it's */ = ",
        " -- it's\n = ",
        '= "Name" AND x=',
        " IN (",
        "::text = ",
        " LIKE ",
        "=",
    )
)


@given(st.lists(st.tuples(between, literals), max_size=8))
def test_no_literal_survives(parts: list[tuple[str, str]]) -> None:
    """Whatever stands between them, and whatever they hold."""
    clean = sanitised("SELECT * FROM t1 WHERE x=1" + "".join(a + b for a, b in parts))
    assert VALUE not in clean
    assert "7753191" not in clean
    assert clean.startswith("SELECT * FROM t1 WHERE x=?")


@given(st.text(alphabet="'\"\\$eEqQ[]{}()<>/*-#\n%:@?.1a ", max_size=60))
def test_any_text_is_read_to_its_end(text: str) -> None:
    """No text raises, no digit of a number outlives a second reading, and what is clean stays as it is."""
    clean = sanitised(text)
    assert len(clean) <= len(text) + 1
    assert isinstance(operation_and_table(text), tuple)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["'", "''", "\\'", "$a$", "$", "/*", "*/", "q'[", '"', '""', "(?,", "1.", "a", "(", "`", "[a"]
)
def test_no_statement_takes_long(piece: str) -> None:
    """The longest statement of anything that a pattern could go back and forth in."""
    assert isinstance(operation_and_table((piece * LONGEST)[:LONGEST]), tuple)


@pytest.mark.parametrize(
    ("statement", "operation", "table"),
    [
        ("select a from orders where b=1", "SELECT", "orders"),
        ('SELECT a FROM "Shop"."Orders" o JOIN x', "SELECT", "Shop.Orders"),
        ("SELECT extract(year FROM day) FROM orders", "SELECT", "orders"),
        ("SELECT * FROM (SELECT id FROM inner_t) x", "SELECT", "inner_t"),
        ("(SELECT a FROM b) UNION (SELECT 2)", "SELECT", "b"),
        ("WITH a AS (SELECT 1 FROM q), b AS (SELECT 2) SELECT * FROM orders", "SELECT", "orders"),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "INSERT", "t"),
        ("INSERT INTO `a`.`b` VALUES (1)", "INSERT", "a.b"),
        ("UPDATE ONLY t SET a=5", "UPDATE", "t"),
        ("DELETE FROM s.t WHERE id=1", "DELETE", "s.t"),
        ("CREATE TABLE IF NOT EXISTS foo (a int)", "CREATE", "foo"),
        ("TRUNCATE foo", "TRUNCATE", "foo"),
        ("CALL refresh(1)", "CALL", "refresh"),
        ("SELECT 1", "SELECT", ""),
        ("BEGIN", "BEGIN", ""),
        ("", "", ""),
        ("-- nothing", "", ""),
    ],
)
def test_operation_and_table(statement: str, operation: str, table: str) -> None:
    """What a statement does, and to which table."""
    assert operation_and_table(statement) == (operation, table)
