"""The golden cases: small projects with a fault, and the command of a real runner that reports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Files = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """A project and the command that its runner is started with; `files` stand beside those of `base`."""

    name: str
    command: str
    base: Files
    files: Files | None = None

    @property
    def all(self) -> dict[str, str]:
        return {**self.base, **(self.files or {})}


PYTHON: Files = {
    "shop/__init__.py": "",
    "shop/prices.py": """
        from shop.rates import rate


        class Basket:
            def __init__(self):
                self.items = []

            def add(self, price, number=1):
                self.items.append((price, number))

            def total(self):
                return sum(price * number for price, number in self.items) * rate("full")


        def parse(text):
            try:
                return int(text)
            except ValueError as error:
                raise LookupError(f"no price: {text}") from error
        """,
    "shop/rates.py": """
        RATES = {"full": 2, "half": 0.5}


        def rate(name):
            return RATES[name]
        """,
    "tests/test_prices.py": """
        import pytest

        from shop.prices import Basket, parse


        def assert_total(basket, want):
            assert basket.total() == want


        @pytest.fixture
        def basket():
            made = Basket()
            made.add(3, 2)
            return made


        def test_empty():
            assert Basket().total() == 0


        def test_total(basket):
            assert_total(basket, 6)


        def test_total_of_many(basket):
            basket.add(1, 4)
            assert_total(basket, 10)


        def test_parse():
            assert parse("4") == 4


        def test_parse_words():
            with pytest.raises(ValueError):
                parse("four")
        """,
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = "."\n',
}
UNITTEST: Files = {
    **{path: PYTHON[path] for path in ("shop/__init__.py", "shop/prices.py", "shop/rates.py")},
    "test_prices.py": """
        import unittest

        from shop.prices import Basket, parse


        class Prices(unittest.TestCase):
            def setUp(self):
                self.basket = Basket()
                self.basket.add(3, 2)

            def check(self, want):
                self.assertEqual(self.basket.total(), want)

            def test_total(self):
                \"\"\"The total of one thing.\"\"\"
                self.check(6)

            def test_parse_words(self):
                self.assertEqual(parse("four"), 4)

            def test_empty(self):
                self.assertEqual(Basket().total(), 0)
        """,
}
PLAIN: Files = {
    "shop.py": """
        class Gone(Exception):
            pass


        def find(name):
            try:
                return {"tea": 3}[name]
            except KeyError as error:
                raise Gone(f"no {name} here") from error


        def both(names):
            errors = []
            for name in names:
                try:
                    find(name)
                except Gone as error:
                    errors.append(error)
            if errors:
                raise ExceptionGroup("several are gone", errors)
        """,
    "check.py": "from shop import find\n\nassert find('tea') == 3\nfind('salt')\n",
    "check_both.py": "from shop import both\n\nboth(['salt', 'tea', 'oil'])\n",
    "check_syntax.py": "import broken\n",
    "broken.py": "def half(number:\n    return number / 2\n",
}
NODE: Files = {
    "package.json": '{"type": "module"}\n',
    "src/ledger.js": """
        import { parseAmount } from "./amount.js";

        export class Ledger {
          constructor() {
            this.entries = [];
          }

          post(account, text) {
            this.entries.push({ account, amount: parseAmount(text) });
            return this;
          }

          balance(account) {
            return this.entries
              .filter((entry) => entry.account === account)
              .reduce((sum, entry) => sum + entry.amount, 0);
          }
        }
        """,
    "src/amount.js": """
        export function parseAmount(text) {
          const match = /^(-?)(\\d+)\\.(\\d{2})$/.exec(text);
          if (!match) {
            throw new TypeError(`not an amount: ${text}`);
          }
          const cents = Number(match[2]) * 10 + Number(match[3]);
          return match[1] ? -cents : cents;
        }

        export const format = (cents) => `${Math.trunc(cents / 100)}.${String(Math.abs(cents % 100)).padStart(2, "0")}`;
        """,
}
NODE_TEST = """
    import assert from "node:assert/strict";
    import { describe, it } from "node:test";
    import { Ledger } from "../src/ledger.js";
    import { format } from "../src/amount.js";

    const expectBalance = (ledger, account, want) => {
      assert.equal(ledger.balance(account), want);
    };

    describe("a ledger", () => {
      it("is empty at first", () => expectBalance(new Ledger(), "cash", 0));
      it("adds what is posted", () => {
        const ledger = new Ledger().post("cash", "1.50").post("cash", "2.25");
        expectBalance(ledger, "cash", 375);
      });
      it("refuses words", () => {
        new Ledger().post("cash", "two");
      });
      it("lists entries", () => {
        assert.deepEqual(new Ledger().post("cash", "1.00").entries, [{ account: "cash", amount: 100 }]);
      });
    });

    it("formats", () => assert.equal(format(5), "0.05"));
    """
CHECK = """
    import { Ledger } from "../src/ledger.js";

    function fill(ledger) {
      ledger.post("cash", "two");
    }
    fill(new Ledger());
    """
EXPECT_TEST = """
    import { Ledger } from "../src/ledger.js";
    IMPORT
    const expectBalance = (ledger, account, want) => {
      expect(ledger.balance(account)).toBe(want);
    };

    describe("a ledger", () => {
      it("is empty at first", () => expectBalance(new Ledger(), "cash", 0));
      it("adds what is posted", () => {
        const ledger = new Ledger().post("cash", "1.50").post("cash", "2.25");
        expectBalance(ledger, "cash", 375);
      });
      it("refuses words", () => {
        new Ledger().post("cash", "two");
      });
      it("lists entries", () => {
        expect(new Ledger().post("cash", "1.00").entries).toEqual([{ account: "cash", amount: 100 }]);
      });
    });
    """
COMMON: Files = {
    "package.json": "{}\n",
    "src/ledger.js": NODE["src/ledger.js"]
    .replace('import { parseAmount } from "./amount.js";', 'const { parseAmount } = require("./amount");')
    .replace("export class", "class")
    + "\n        module.exports = { Ledger };\n",
    "src/amount.js": NODE["src/amount.js"].replace("export ", "")
    + "\n        module.exports = { parseAmount, format };\n",
}


def requiring(test: str) -> str:
    return test.replace('import { Ledger } from "../src/ledger.js";', 'const { Ledger } = require("../src/ledger");')


TYPESCRIPT: Files = {
    "package.json": "{}\n",
    "tsconfig.json": '{"compilerOptions": {"strict": true, "noEmit": true, "types": []}, "include": ["src"]}\n',
    "src/rates.ts": """
        export interface Rate {
          name: string;
          percent: number;
        }

        export function find(rates: Rate[], name: string): Rate {
          return rates.find((rate) => rate.name === name);
        }
        """,
    "src/invoice.ts": """
        import { find, type Rate } from "./rates";

        export function tax(amount: number, rates: Rate[]): number {
          return (amount * find(rates, "full").percnt) / 100;
        }
        """,
}
GO: Files = {
    "go.mod": "module example.org/harbour\n\ngo 1.19\n",
    "berth/berth.go": """
        package berth

        import "fmt"

        // Berth is a place for a ship.
        type Berth struct {
        	Name   string
        	Length int
        }

        // Fits tells whether a ship of the length fits.
        func (b Berth) Fits(length int) bool {
        	return length < b.Length
        }

        func First(berths []Berth, length int) (Berth, error) {
        	for _, b := range berths {
        		if b.Fits(length) {
        			return b, nil
        		}
        	}
        	return Berth{}, fmt.Errorf("no berth for %d", length)
        }

        func Nth(berths []Berth, n int) Berth {
        	return berths[n]
        }
        """,
    "berth/berth_test.go": """
        package berth

        import "testing"

        var all = []Berth{{"a", 10}, {"b", 30}}

        func mustFit(t *testing.T, length int, want string) {
        	t.Helper()
        	got, err := First(all, length)
        	if err != nil {
        		t.Fatalf("First(%d): %v", length, err)
        	}
        	if got.Name != want {
        		t.Errorf("First(%d) = %q, want %q", length, got.Name, want)
        	}
        }

        func TestSmall(t *testing.T) { mustFit(t, 5, "a") }

        func TestExact(t *testing.T) {
        	for name, length := range map[string]int{"exact": 30} {
        		t.Run(name, func(t *testing.T) { mustFit(t, length, "b") })
        	}
        }
        """,
}
TESTIFY: Files = {
    "berth/berth_test.go": """
        package berth

        import (
        	"testing"

        	"github.com/stretchr/testify/assert"
        	"github.com/stretchr/testify/require"
        )

        var all = []Berth{{"a", 10}, {"b", 30}}

        func TestSmall(t *testing.T) {
        	got, err := First(all, 5)
        	require.NoError(t, err)
        	assert.Equal(t, "a", got.Name)
        }

        func TestExact(t *testing.T) {
        	got, err := First(all, 10)
        	require.NoError(t, err)
        	assert.Equal(t, "a", got.Name, "a ship as long as its berth")
        }

        func TestLast(t *testing.T) {
        	_, err := First(all, 30)
        	require.NoError(t, err)
        }
        """
}
GO_PANIC: Files = {
    "berth/panic_test.go": """
        package berth

        import "testing"

        func TestNth(t *testing.T) {
        	if Nth(all, 2).Name != "b" {
        		t.Fatal("wrong")
        	}
        }
        """
}
CARGO: Files = {
    "Cargo.toml": '[package]\nname = "orchard"\nversion = "0.1.0"\nedition = "2021"\n',
    "src/lib.rs": """
        pub mod tree;

        use tree::Tree;

        /// Count the apples on all trees.
        pub fn harvest(trees: &[Tree]) -> u32 {
            trees.iter().map(|tree| tree.apples()).sum()
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            fn check(trees: &[Tree], want: u32) {
                assert_eq!(harvest(trees), want, "of {} trees", trees.len());
            }

            #[test]
            fn nothing() {
                check(&[], 0);
            }

            #[test]
            fn two_trees() {
                check(&[Tree::new(2, 3), Tree::new(5, 4)], 26);
            }
        }
        """,
    "src/tree.rs": """
        pub struct Tree {
            branches: u32,
            each: u32,
        }

        impl Tree {
            pub fn new(branches: u32, each: u32) -> Self {
                Tree { branches, each }
            }

            pub fn apples(&self) -> u32 {
                self.branches + self.each
            }

            pub fn share(&self, people: u32) -> u32 {
                self.apples() / people
            }

            pub fn named(name: &str) -> Option<Tree> {
                (name == "old").then(|| Tree::new(9, 9))
            }
        }
        """,
    "tests/shares.rs": """
        use orchard::tree::Tree;

        #[test]
        fn nobody() {
            assert_eq!(Tree::new(1, 1).share(0), 0);
        }

        #[test]
        fn young() {
            let tree = Tree::named("young").unwrap();
            assert_eq!(tree.apples(), 1);
        }
        """,
}
C: Files = {
    "Makefile": """
        CFLAGS = -Wall -g -Iinclude

        test: build/test_ring
        	./build/test_ring

        build/test_ring: tests/test_ring.c src/ring.c include/ring.h
        	mkdir -p build
        	$(CC) $(CFLAGS) -o $@ tests/test_ring.c src/ring.c
        """,
    "include/ring.h": """
        #ifndef RING_H
        #define RING_H
        #define RING_SIZE 4
        typedef struct {
            int items[RING_SIZE];
            int head, count;
        } ring;
        void ring_init(ring *r);
        int ring_push(ring *r, int value);
        int ring_pop(ring *r, int *value);
        #endif
        """,
    "src/ring.c": """
        #include "ring.h"

        static int wrap(int index)
        {
            return index % (RING_SIZE - 1);
        }

        void ring_init(ring *r)
        {
            r->head = 0;
            r->count = 0;
        }

        int ring_push(ring *r, int value)
        {
            if (r->count == RING_SIZE)
                return 0;
            r->items[wrap(r->head + r->count)] = value;
            r->count++;
            return 1;
        }

        int ring_pop(ring *r, int *value)
        {
            if (r->count == 0)
                return 0;
            *value = r->items[r->head];
            r->head = wrap(r->head + 1);
            r->count--;
            return 1;
        }
        """,
    "tests/test_ring.c": """
        #include <assert.h>
        #include <stdio.h>
        #include "ring.h"

        static void test_empty(void)
        {
            ring r;
            int value;
            ring_init(&r);
            assert(!ring_pop(&r, &value));
        }

        static void test_fills(void)
        {
            ring r;
            int value = 0;
            ring_init(&r);
            for (int i = 1; i <= RING_SIZE; i++)
                assert(ring_push(&r, i * 10));
            assert(ring_pop(&r, &value) && value == 10);
        }

        int main(void)
        {
            test_empty();
            puts("ok test_empty");
            test_fills();
            puts("ok test_fills");
            return 0;
        }
        """,
}
CMOCKA: Files = {
    "tests/test_ring.c": """
        #include <stdarg.h>
        #include <stddef.h>
        #include <setjmp.h>
        #include <cmocka.h>
        #include "ring.h"

        static void check_pop(ring *r, int want)
        {
            int value = 0;
            assert_true(ring_pop(r, &value));
            assert_int_equal(value, want);
        }

        static void test_empty(void **state)
        {
            ring r;
            int value;
            ring_init(&r);
            assert_false(ring_pop(&r, &value));
        }

        static void test_fills(void **state)
        {
            ring r;
            ring_init(&r);
            for (int i = 1; i <= RING_SIZE; i++)
                assert_true(ring_push(&r, i * 10));
            check_pop(&r, 10);
        }

        int main(void)
        {
            const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty), cmocka_unit_test(test_fills)};
            return cmocka_run_group_tests(tests, NULL, NULL);
        }
        """,
}
CMAKE: Files = {
    "CMakeLists.txt": """
        cmake_minimum_required(VERSION 3.13)
        project(ring C)
        enable_testing()
        add_executable(test_ring tests/test_ring.c src/ring.c)
        target_include_directories(test_ring PRIVATE include)
        add_test(NAME ring COMMAND test_ring)
        """
}
JAVA: Files = {
    "src/main/java/org/garden/Bed.java": """
        package org.garden;

        import java.util.ArrayList;
        import java.util.List;

        public class Bed {
            private final int size;
            private final List<String> plants = new ArrayList<>();

            public Bed(int size) {
                this.size = size;
            }

            public void plant(String name) {
                if (plants.size() > size) {
                    throw new IllegalStateException("the bed is full");
                }
                plants.add(Names.clean(name));
            }

            public String at(int place) {
                return plants.get(place);
            }
        }
        """,
    "src/main/java/org/garden/Names.java": """
        package org.garden;

        final class Names {
            private Names() {}

            static String clean(String name) {
                return name.strip().toUpperCase();
            }
        }
        """,
    "src/test/java/org/garden/BedTest.java": """
        package org.garden;

        import static org.junit.jupiter.api.Assertions.assertEquals;
        import static org.junit.jupiter.api.Assertions.assertThrows;

        import org.junit.jupiter.api.Test;

        class BedTest {
            private static void assertFirst(Bed bed, String want) {
                assertEquals(want, bed.at(0));
            }

            @Test
            void keepsNames() {
                Bed bed = new Bed(2);
                bed.plant(" mint ");
                assertFirst(bed, "mint");
            }

            @Test
            void isFull() {
                Bed bed = new Bed(1);
                bed.plant("mint");
                assertThrows(IllegalStateException.class, () -> bed.plant("sage"));
            }

            @Test
            void hasPlaces() {
                assertEquals("mint", new Bed(1).at(0));
            }
        }
        """,
}
JAVA4: Files = {
    **{path: text for path, text in JAVA.items() if "main" in path},
    "src/test/java/org/garden/BedTest.java": JAVA["src/test/java/org/garden/BedTest.java"]
    .replace("org.junit.jupiter.api.Assertions", "org.junit.Assert")
    .replace("org.junit.jupiter.api.Test", "org.junit.Test")
    .replace("@Test\n            void", "@Test\n            public void")
    .replace("class BedTest", "public class BedTest"),
}
JARS = "/usr/share/java"
JUNIT5 = (
    f"javac -d out -cp {JARS}/junit-jupiter-api.jar:{JARS}/apiguardian-api.jar $(find src -name '*.java') && "
    "java -cp out:$(ls /usr/share/java/junit-*5*.jar /usr/share/java/junit-platform-*1.9.1.jar"
    " /usr/share/java/opentest4j-1*.jar /usr/share/java/picocli.jar /usr/share/java/apiguardian-api.jar"
    " /usr/share/java/univocity-parsers.jar 2>/dev/null | tr '\\n' ':')"
    " org.junit.platform.console.ConsoleLauncher --scan-classpath out --disable-banner"
)
JUNIT4 = (
    f"javac -d out -cp {JARS}/junit4.jar $(find src -name '*.java') && "
    f"java -cp out:{JARS}/junit4.jar:{JARS}/hamcrest-core.jar org.junit.runner.JUnitCore org.garden.BedTest"
)
RUBY: Files = {
    "lib/clock.rb": """
        class Clock
          def initialize(minutes)
            @minutes = minutes
          end

          def add(more)
            Clock.new(wrap(@minutes + more))
          end

          def to_s
            format("%02d:%02d", @minutes / 60, @minutes % 60)
          end

          def hour!
            raise ArgumentError, "before noon" if @minutes < 720

            @minutes / 60
          end

          private

          def wrap(minutes)
            minutes % 1400
          end
        end
        """
}
RSPEC: Files = {
    "spec/clock_spec.rb": """
        require_relative "../lib/clock"

        RSpec.describe Clock do
          it "starts" do
            expect(Clock.new(61).to_s).to eq("01:01")
          end

          it "goes round" do
            expect(Clock.new(1430).add(15).to_s).to eq("00:05")
          end

          it "tells the hour" do
            expect(Clock.new(60).hour!).to eq(1)
          end
        end
        """
}
MINITEST: Files = {
    "test/test_clock.rb": """
        require "minitest/autorun"
        require_relative "../lib/clock"

        class TestClock < Minitest::Test
          def test_starts
            assert_equal "01:01", Clock.new(61).to_s
          end

          def test_goes_round
            assert_equal "00:05", Clock.new(1430).add(15).to_s
          end

          def test_tells_the_hour
            assert_equal 1, Clock.new(60).hour!
          end
        end
        """
}
PHP: Files = {
    "src/Till.php": """
        <?php

        final class Till
        {
            private array $coins = [];

            public function put(int $coin, int $number = 1): void
            {
                if ($coin <= 0) {
                    throw new InvalidArgumentException("no such coin: $coin");
                }
                $this->coins[$coin] = $number;
            }

            public function total(): int
            {
                $sum = 0;
                foreach ($this->coins as $coin => $number) {
                    $sum += $coin * $number;
                }
                return $sum;
            }
        }
        """,
    "tests/TillTest.php": """
        <?php

        use PHPUnit\\Framework\\TestCase;

        require_once __DIR__ . '/../src/Till.php';

        final class TillTest extends TestCase
        {
            public function testEmpty(): void
            {
                $this->assertSame(0, (new Till())->total());
            }

            public function testTwice(): void
            {
                $till = new Till();
                $till->put(5);
                $till->put(5, 2);
                $this->assertSame(15, $till->total());
            }

            public function testNothing(): void
            {
                $till = new Till();
                $till->put(0);
                $this->assertSame(0, $till->total());
            }
        }
        """,
}
LINTED: Files = {
    "calc.py": """
        import os


        def half(number: int) -> int:
            return number / 2


        def name() -> str:
            return half("x")
        """
}
ESLINT: Files = {
    "package.json": '{"type": "module"}\n',
    "eslint.config.js": 'export default [{ rules: { "no-undef": "error", "no-unused-vars": "error" } }];\n',
    "src/sum.js": """
        export function sum(list) {
          const unused = 1;
          return list.reduce((all, one) => al + one, 0);
        }
        """,
}

PYTEST = "python -m pytest -p no:cacheprovider -p no:randomly"
# What runners say besides a plain failed assertion.
ODD: Files = {
    "feeds.py": """
        def read(url):
            if not url:
                raise ExceptionGroup("no feed", [ValueError("an empty url"), KeyError("feed")])
            return read(url[1:])
        """,
}
IMPORTS = "import sys\n\nimport pytest\n\nfrom feeds import read\n\n\n"
ODD_TESTS = {
    "group": "def test_empty():\n    read('')\n",
    "xpass": "@pytest.mark.xfail(strict=True)\ndef test_lists():\n    assert [read]\n",
    "prints": "def test_list():\n    for number in range(60):\n        print('step', number)\n    assert not read\n",
    "recursion": "def test_long():\n    sys.setrecursionlimit(150)\n    read([1] * 999)\n",
    "setup": "@pytest.fixture\ndef feed():\n    return read('')\n\n\ndef test_z():\n    assert not read\n\n\n"
    "def test_first(feed):\n    assert feed\n",
}
LISTS: Files = {
    "rows.js": "exports.rows = (count) => Array.from({ length: count }, (_, id) => ({ id, ok: id !== count - 1 }));\n",
    "rows.test.js": """
        const { describe, it, before } = require("node:test");
        const assert = require("node:assert/strict");
        const { rows } = require("./rows");

        describe("rows", () => {
          before(() => {
            if (process.env.BROKEN) throw new Error("no fixture");
          });
          it("are all well", () => assert.deepEqual(rows(25), rows(26).slice(0, 25)));
        });
        """,
}
WAITS: Files = {
    "go.mod": "module garden\n\ngo 1.19\n",
    "wait.go": 'package garden\n\nimport "time"\n\nfunc Wait() {\n\ttime.Sleep(time.Hour)\n}\n',
    "wait_test.go": 'package garden\n\nimport "testing"\n\nfunc TestWait(t *testing.T) {\n\tWait()\n}\n',
}
PANICS: Files = {
    "Cargo.toml": '[package]\nname = "garden"\nversion = "0.1.0"\nedition = "2021"\n',
    "src/lib.rs": """
        pub fn water(litres: i32) -> i32 {
            litres.max(0)
        }

        #[test]
        #[should_panic]
        fn less_than_nothing() {
            println!("watering");
            water(-1);
        }
        """,
}
# Their tests print what reads like a report.
BUN: Files = {
    "src/sum.js": """
        export function sum(numbers) {
          return numbers.reduce((all, one) => all - one, 0);
        }
        """,
    "sum.test.js": """
        import { describe, expect, test } from "bun:test";
        import { sum } from "./src/sum.js";

        describe("sums", () => {
          test("nothing", () => {
            console.log("ERROR: could not reach db\\nerror: no such host");
            expect(sum([])).toBe(0);
          });
          test("two of them", () => {
            expect(sum([1, 2])).toBe(3);
          });
        });
        test.skip("later", () => {});
        """,
}
DENO: Files = {
    "sum.js": """
        export function sum(numbers) {
          return numbers.reduce((all, one) => all - one, 0);
        }
        """,
    "sum_test.js": """
        import { sum } from "./sum.js";

        function equal(got, want) {
          if (got !== want) throw new Error(`${got} is not ${want}`);
        }

        Deno.test("sums nothing", () => {
          console.log("ERROR: could not reach db\\nerror: no such host");
          equal(sum([]), 0);
        });
        Deno.test("sums - two", async (step) => {
          equal(sum([5]), -5);
          await step.step("small", () => equal(sum([1, 2]), 3));
        });
        """,
}
PLAYWRIGHT: Files = {
    "package.json": '{"type":"module"}\n',
    "sum.js": """
        export function sum(numbers) {
          return numbers.reduce((all, one) => all - one, 0);
        }
        """,
    "sum.spec.js": """
        import { expect, test } from "@playwright/test";
        import { sum } from "./sum.js";

        test("sums nothing", () => {
          console.log("ERROR: could not reach db\\nerror: no such host");
          expect(sum([])).toBe(0);
        });
        test.describe("pairs", () => {
          test("sums two", () => {
            expect(sum([1, 2])).toBe(3);
          });
        });
        """,
}
BATS: Files = {
    "sum.sh": """
        sum() {
          echo $(($1 - $2))
        }
        """,
    "sum.bats": """
        load sum.sh

        @test "sums nothing" {
          [ "$(sum 0 0)" = 0 ]
        }

        @test "sums two" {
          echo "not ok 7 - from the log"
          run sum 1 2
          [ "$output" = 3 ]
        }
        """,
}
PROVE: Files = {
    "lib/Sum.pm": """
        package Sum;

        sub sum {
            my ($left, $right) = @_;
            return $left - $right;
        }

        1;
        """,
    "t/sum.t": """
        use strict;
        use warnings;
        use lib 'lib';
        use Sum;
        use Test::More tests => 2;

        is(Sum::sum(0, 0), 0, 'sums nothing');
        is(Sum::sum(1, 2), 3, 'sums two');
        """,
}
EXUNIT: Files = {
    "mix.exs": """
        defmodule Sum.MixProject do
          use Mix.Project

          def project do
            [app: :sum, version: "0.1.0"]
          end
        end
        """,
    "lib/sum.ex": """
        defmodule Sum do
          def sum(left, right) do
            left - right
          end
        end
        """,
    "test/test_helper.exs": "ExUnit.start(seed: 0)\n",
    "test/sum_test.exs": """
        defmodule SumTest do
          use ExUnit.Case

          test "sums nothing" do
            IO.puts("  7) test from the log (SumTest)")
            assert Sum.sum(0, 0) == 0
          end

          test "sums two" do
            assert Sum.sum(1, 2) == 3
          end
        end
        """,
}
CATCH2: Files = {
    "sum.cpp": """
        #define CATCH_CONFIG_MAIN
        #include <cstdio>
        #include <catch2/catch.hpp>

        static int sum(int left, int right) {
            return left - right;
        }

        TEST_CASE("sums nothing", "[sum]") {
            REQUIRE(sum(0, 0) == 0);
        }

        TEST_CASE("sums two", "[sum]") {
            std::puts("FAILED: from the log");
            SECTION("small ones") {
                REQUIRE(sum(1, 2) == 3);
            }
        }
        """,
}
CASES = [
    *(
        Case(f"pytest-{name}", f"{PYTEST} {options}", PYTHON)
        for name, options in {
            "plain": "",
            "q": "-q",
            "x": "-x",
            "short": "--tb=short",
            "long": "--tb=long",
            "native": "--tb=native",
            "line": "--tb=line",
            "no": "--tb=no",
            "v": "-v --tb=short",
            "xdist": "-n 2",
        }.items()
    ),
    Case("pytest-import", f"{PYTEST} -q", PYTHON, {"shop/rates.py": "import nowhere_at_all\n"}),
    Case("pytest-syntax", f"{PYTEST} -q", PYTHON, {"shop/rates.py": "def rate(name:\n    return 1\n"}),
    Case("unittest", "python -m unittest", UNITTEST),
    Case("unittest-v", "python -m unittest -v", UNITTEST),
    Case("unittest-import", "python -m unittest", UNITTEST, {"shop/rates.py": "import nowhere_at_all\n"}),
    Case("traceback-chained", "python check.py", PLAIN),
    Case("traceback-group", "python check_both.py", PLAIN),
    Case("traceback-syntax", "python check_syntax.py", PLAIN),
    Case("node-tap", "node --test --test-reporter=tap", NODE, {"test/ledger.test.js": NODE_TEST}),
    Case("node-spec", "node --test --test-reporter=spec", NODE, {"test/ledger.test.js": NODE_TEST}),
    Case("node-script", "node test/check.js", NODE, {"test/check.js": CHECK}),
    Case("jest", "jest", COMMON, {"test/ledger.test.js": requiring(EXPECT_TEST).replace("IMPORT", "")}),
    Case(
        "jest-verbose", "jest --verbose", COMMON, {"test/ledger.test.js": requiring(EXPECT_TEST).replace("IMPORT", "")}
    ),
    Case(
        "vitest",
        "vitest run",
        NODE,
        {"test/ledger.test.js": EXPECT_TEST.replace("IMPORT", 'import { describe, expect, it } from "vitest";')},
    ),
    Case(
        "mocha",
        "mocha test",
        COMMON,
        {
            "test/ledger.test.js": requiring(NODE_TEST)
            .replace('import assert from "node:assert/strict";', 'const assert = require("assert/strict");')
            .replace('import { describe, it } from "node:test";', "")
            .replace('import { format } from "../src/amount.js";', 'const { format } = require("../src/amount");')
        },
    ),
    Case("tsc", "tsc -p .", TYPESCRIPT),
    Case("tsc-pretty", "tsc -p . --pretty", TYPESCRIPT),
    Case("eslint", "eslint src", ESLINT),
    Case("go", "go test ./...", GO),
    Case("go-v", "go test -v ./...", GO),
    Case("go-json", "go test -json ./...", GO),
    Case("go-panic", "go test ./...", GO, GO_PANIC),
    Case(
        "go-build",
        "go test ./...",
        GO,
        {"berth/more.go": "package berth\n\nfunc More(b Berth) string {\n\treturn b.Length\n}\n"},
    ),
    Case("go-testify", "GO111MODULE=off GOPATH=/usr/share/gocode go test ./...", GO, TESTIFY),
    Case("cargo", "cargo test --offline --lib", CARGO),
    Case("cargo-panic", "cargo test --offline --test shares", CARGO),
    Case(
        "cargo-rustc",
        "cargo test --offline",
        CARGO,
        {
            "src/tree.rs": CARGO["src/tree.rs"].replace(
                "-> Option<Tree> {", "-> Option<Tree> {\n                let trees: u32 = name;"
            )
        },
    ),
    Case("make-assert", "make -s test", C),
    Case("cmocka", "gcc -Iinclude -o ring tests/test_ring.c src/ring.c -lcmocka && ./ring", C, CMOCKA),
    Case("make-gcc", "make test", C, {"src/ring.c": C["src/ring.c"].replace("r->count++", "r->cuont++")}),
    Case(
        "clang",
        "clang -Wall -Iinclude -o a.out tests/test_ring.c src/ring.c",
        C,
        {
            "src/ring.c": C["src/ring.c"]
            .replace("r->count++;", "r->count++")
            .replace("static int wrap", "static int wrp")
        },
    ),
    Case(
        "ctest",
        "cmake -S . -B build > /dev/null && make -s -C build > /dev/null && ctest --test-dir build --output-on-failure",
        C,
        CMAKE,
    ),
    Case("junit5", JUNIT5, JAVA),
    Case("junit4", JUNIT4, JAVA4),
    Case(
        "javac",
        JUNIT5,
        JAVA,
        {
            "src/main/java/org/garden/Names.java": JAVA["src/main/java/org/garden/Names.java"].replace(
                "name.strip()", "nam.strip()"
            )
        },
    ),
    *(
        Case(f"pytest-{name}", "pytest -q -p no:cacheprovider", ODD, {"test_feeds.py": f"{IMPORTS}{text}"})
        for name, text in ODD_TESTS.items()
    ),
    Case("node-lists", "node --test --test-reporter=tap", LISTS),
    Case("node-before", "BROKEN=1 node --test --test-reporter=tap", LISTS),
    Case(
        "jest-syntax", "jest", {"package.json": "{}\n"}, {"a.test.js": 'require("./a");\n', "a.js": "exports.x = (;\n"}
    ),
    Case("go-timeout", "go test -timeout 2s ./...", WAITS),
    Case("cargo-no-panic", "cargo test --offline --lib", PANICS),
    Case("rspec", "rspec", RUBY, RSPEC),
    Case("rspec-syntax", "rspec", RUBY, {**RSPEC, "lib/clock.rb": "class Clock\n  def initialize(\nend\n"}),
    Case("minitest", "ruby test/test_clock.rb --seed 1", RUBY, MINITEST),
    Case("phpunit", "phpunit tests", PHP),
    Case("mypy", "mypy calc.py", LINTED),
    Case("ruff", "ruff check --isolated --output-format=concise calc.py", LINTED),
    Case("bun", "bun test", BUN),
    Case("deno", "NO_COLOR=1 deno test", DENO),
    Case("playwright", "playwright test --reporter=list", PLAYWRIGHT),
    Case("bats", "bats sum.bats", BATS),
    Case("bats-pretty", "bats --pretty sum.bats", BATS),
    Case("prove", "prove", PROVE),
    Case("exunit", "mix test", EXUNIT),
    Case("catch2", "g++ -o sum sum.cpp && ./sum", CATCH2),
]
