"""Pairs to begin with: dates and numbers as people write them in English and Korean -> one fixed form.

Anybody can see at a glance whether an answer is right, and the answer follows from the question alone, so the score
measures the model and not the data. A real corpus takes the place of this file: see README.md.
"""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAYS_KO = "월화수목금토일"
ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
DIGITS_KO = ("", "일", "이", "삼", "사", "오", "육", "칠", "팔", "구")
FIRST_DAY, LAST_DAY = date(1950, 1, 1).toordinal(), date(2049, 12, 31).toordinal()


def english_number(number: int, joint: str = " and ") -> str:
    """0 to 999,999 in English words; `joint` stands after the hundreds."""
    if number >= 1000:
        thousands, rest = divmod(number, 1000)
        tail = (joint if 0 < rest < 100 else " ") + english_number(rest, joint) if rest else ""
        return f"{english_number(thousands, joint)} thousand{tail}"
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        return f"{ONES[hundreds]} hundred" + (joint + english_number(rest) if rest else "")
    if number >= 20:
        tens, rest = divmod(number, 10)
        return TENS[tens] + (f"-{ONES[rest]}" if rest else "")
    return ONES[number]


def korean_number(number: int) -> str:
    """0 to 99,999,999 in Sino-Korean words. "일" is not said before 십, 백, 천, nor before a 만 that stands first."""
    if number == 0:
        return "영"
    if number >= 10000:
        head = korean_number(number // 10000) if number >= 20000 else ""
        return f"{head}만 {korean_number(number % 10000) if number % 10000 else ''}".rstrip()
    words = ""
    for unit, name in ((1000, "천"), (100, "백"), (10, "십"), (1, "")):
        digit = number // unit % 10
        if digit:
            words += (DIGITS_KO[digit] if digit > 1 or unit == 1 else "") + name
    return words


def number_forms(number: int) -> list[str]:
    """The ways to write a number, 0 to 999,999."""
    forms = [english_number(number), english_number(number, " "), korean_number(number), f"{number:,}"]
    if number >= 10000 and number % 10000:
        forms.append(f"{number // 10000}만 {number % 10000}")
    return list(dict.fromkeys(forms))


def date_forms(day: date) -> list[str]:
    """The ways to write a day of the years 1950 to 2049."""
    month, number = MONTHS[day.month - 1], day.day
    ending = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    month_ko = {6: "유", 10: "시"}.get(day.month) or korean_number(day.month)  # not 육월, 십월
    return [
        f"{month} {number}, {day.year}",
        f"{number} {month[:3]} {day.year}",
        f"the {number}{ending} of {month} {day.year}",
        f"{WEEKDAYS[day.weekday()]}, {number} {month} {day.year}",
        f"{day.year}년 {day.month}월 {number}일",
        f"{day.year}년 {day.month}월 {number}일 {WEEKDAYS_KO[day.weekday()]}요일",
        f"{korean_number(day.year)}년 {month_ko}월 {korean_number(number)}일",
        f"{day.year}. {day.month}. {number}.",
    ]


def sample_numbers(rng: random.Random, count: int) -> list[int]:
    """Different numbers of one to five digits, many of them with noughts: people write 12005 more often than chance."""
    numbers: dict[int, None] = {}
    while len(numbers) < count:
        digits = [rng.choice("0123456789" if rng.random() < 0.6 else "0") for _ in range(rng.randint(1, 5))]
        numbers[int("".join(digits))] = None
    return list(numbers)


def sample_pairs(seed: int, dates: int = 5000, numbers: int = 7000, forms: int = 2) -> list[tuple[str, str]]:
    """(as written, fixed form) pairs without repetition: `forms` ways to write each of the dates and numbers."""
    rng = random.Random(seed)
    answers = [(number_forms(number), str(number)) for number in sample_numbers(rng, numbers)]
    days = rng.sample(range(FIRST_DAY, LAST_DAY + 1), dates)
    answers += [(date_forms(day), day.isoformat()) for day in map(date.fromordinal, days)]
    return [(form, answer) for ways, answer in answers for form in rng.sample(ways, min(forms, len(ways)))]


def write_sample(path: Path, seed: int) -> None:
    """Write the pairs as a file with one `source<TAB>target` per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{source}\t{target}\n" for source, target in sample_pairs(seed))
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
