"""The words of the world: all texts are built from these lists.

Sentences are built once per seed and only picked afterwards, so that a hundred thousand tweets take seconds.
The lists deliberately contain what breaks readers of tweets: several scripts, right-to-left text, emoji with more
than one code point, accented and unaccented spellings of one word, and characters that X writes as HTML entities.
No text comes from a person.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from random import Random

Annotation = tuple[int, int, str, str]
"""(start, last code point, kind, normalised text): the end is inclusive, as X has it (x-api-v2.md §9)."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as it appears in a tweet (HTML entities escaped) and the named things in it."""

    text: str
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """What one language contributes: its BCP 47 tag, its share of the world, and its word lists."""

    tag: str
    share: float
    openings: tuple[str, ...]
    middles: tuple[str, ...]
    endings: tuple[str, ...]
    joint: str = " "


NAMED_PLACES = ("Port Ellery", "Novasund", "Kestrel Bay", "Valdoria", "Quillhaven")
NAMED_PRODUCTS = ("Lumo Kettle", "Tern OS", "Pebble Radio")

LANGUAGES: tuple[Language, ...] = (
    Language(
        "en",
        0.56,
        (
            "This morning the coffee",
            "Our small team",
            "A long walk through {place}",
            "The new climate report",
            "My neighbour & her garden",
            "Nobody at the football match",
            "The old radio",
            "Yesterday's storm over {place}",
            "Open data",
            "A cup of café au lait",
            "The first train to {place}",
            "Honest astronomy",
            "The {product}",
            "Python",
            "That song",
        ),
        (
            "made me think about",
            "finally explains",
            "is better than",
            "has nothing to do with",
            "was all about",
            "keeps reminding us of",
            "costs more than",
            "quietly fixed",
            "cannot replace",
            "looks like 5 < 6 for",
        ),
        (
            "the smell of rain.",
            "a good book & a warm room.",
            "football on a Sunday.",
            "climate adaptation 🌍.",
            "the data pipeline 🚀",
            "fresh coffee ☕️",
            "music from the harbour 🎶",
            "the election rumours.",
            "bread, butter & jam.",
            "what the astronomers saw 🔭",
            "a family dinner 👩‍👩‍👧‍👦",
            "an election no one expected?!",
            "the naïve plan from {place}.",
            "slow travel 🇳🇴",
            "quiet engineering 👍🏽",
        ),
    ),
    Language(
        "es",
        0.09,
        ("El café de hoy", "Mi ciudad", "La música", "El niño", "Un gol así", "Nuestro mañana"),
        ("me recuerda a", "no tiene nada que ver con", "vale más que", "explica"),
        (
            "la lluvia en {place}.",
            "un corazón tranquilo ❤️",
            "el fútbol de verdad ⚽️",
            "el año que viene.",
            "¿la verdad?",
        ),
    ),
    Language(
        "pt",
        0.06,
        ("O café da manhã", "A canção", "Meu irmão", "O coração da cidade"),
        ("lembra", "não combina com", "vale mais do que"),
        ("a praia de {place}.", "futebol e saudade.", "uma ação simples 🌊", "o pão quente."),
    ),
    Language(
        "ja",
        0.08,
        ("今日のコーヒーは", "新しい電車は", "うちの猫は", "朝の空は", "音楽は"),
        ("とても", "思ったより", "やっぱり", "少しだけ"),
        ("美味しい☕️", "速かった🚄", "かわいい🐈。", "静かですね。", "懐かしい🎶"),
        "",
    ),
    Language(
        "de",
        0.05,
        ("Der Kaffee", "Mein Fahrrad", "Die Straße nach {place}", "Das Frühstück"),
        ("erinnert mich an", "ist schöner als", "hat nichts zu tun mit"),
        ("Regen im März.", "einem Spaß für alle 😄", "Brötchen & Käse.", "der Größe des Himmels."),
    ),
    Language(
        "fr",
        0.04,
        ("Le café du coin", "L\u2019été à {place}", "La forêt", "Ma sœur"),
        ("me rappelle", "vaut mieux que", "n\u2019a rien à voir avec"),
        ("la mer à Noël.", "une idée naïve…", "le théâtre & la pluie.", "ça, évidemment 🥐"),
    ),
    Language(
        "ar",
        0.04,
        ("القهوة اليوم", "المدينة القديمة", "هذا الصباح"),
        ("أجمل من", "تشبه", "أهم من"),
        ("المطر ☔️", "كرة القدم ⚽️", "الموسيقى.", "البحر في الشتاء."),
    ),
    Language(
        "hi",
        0.03,
        ("आज की चाय", "यह शहर", "हमारा घर"),
        ("बहुत", "सच में", "थोड़ा"),
        ("अच्छी है 🙏🏾", "शांत है।", "सुंदर लगता है।"),
    ),
    Language(
        "ru",
        0.02,
        ("Утренний кофе", "Новый поезд", "Этот город"),
        ("лучше, чем", "похож на", "важнее, чем"),
        ("дождь в марте.", "музыка ❄️", "футбол!", "тихий вечер."),
    ),
    Language(
        "ko",
        0.02,
        ("오늘 커피는", "새 기차는", "우리 집은"),
        ("정말", "생각보다", "조금"),
        ("좋다 ☕️", "빠르다.", "조용하다 🌙"),
    ),
    Language(
        "und",
        0.01,
        ("🎉🎉", "🔥", "…"),
        ("👀", "💯", "🏳️‍🌈"),
        ("!!!", "😂😂😂", "🙌🏿"),
    ),
)

HASHTAGS: tuple[str, ...] = (
    "coffee",
    "climate",
    "football",
    "opendata",
    "Python",
    "music",
    "astronomy",
    "travel",
    "Election2026",
    "café",
    "kaffee",
    "コーヒー",
    "朝活",
    "fútbol",
    "القهوة",
    "चाय",
    "кофе",
    "커피",
    "slow_travel",
    "rain",
    "bread",
    "Größe",
    "naïve",
    "data_quality",
    "harbour",
    "theatre",
    "books",
    "gardening",
    "trains",
    "radio",
    "MondayMorning",
    "niño",
)
"""Most used first: they are picked by a Zipf law, so #coffee is common and #niño is rare."""

CASHTAGS: tuple[str, ...] = ("LUMO", "TERN", "KSTL")
POLL_LABELS: tuple[str, ...] = ("Yes", "No", "Tea & cake", "コーヒー", "Quizás", "Only on Sundays", "🙈")
ALT_TEXTS: tuple[str, ...] = ("A cup on a window sill", "Harbour at dawn, boats & fog", "猫が窓辺で寝ている")
SITES: tuple[tuple[str, str], ...] = (
    ("news.example.org", "The Daily Example"),
    ("blog.example.net", "Notes & Queries"),
    ("data.example.com", "Open data portal"),
    ("café.example.org", "Le café"),
)
SYLLABLES: tuple[str, ...] = tuple(c + v for c in "bdklmnrstv" for v in "aeio")
DISPLAY_NAMES: tuple[str, ...] = (
    "Ada",
    "Bjørn",
    "Chloé",
    "Dmitri Иванов",
    "エリ",
    "فاطمة",
    "गीता",
    "Hanna ✨",
    "Iñaki",
    "지우",
)
BIOS: tuple[str, ...] = (
    "Coffee & code.",
    "Reading trains, riding books.",
    "猫と暮らす",
    "Opinions are my cat's. #coffee",
    "",
)


def build_sentences(rng: Random, per_language: int = 160) -> dict[str, tuple[Sentence, ...]]:
    """Sentences of every language, by language tag; the same for the same `rng` state."""
    return {
        language.tag: tuple(_sentence(rng, language) for _ in range(per_language)) for language in LANGUAGES
    }


def _sentence(rng: Random, language: Language) -> Sentence:
    place, product = rng.choice(NAMED_PLACES), rng.choice(NAMED_PRODUCTS)
    parts = (rng.choice(language.openings), rng.choice(language.middles), rng.choice(language.endings))
    text = html.escape(language.joint.join(parts).format(place=place, product=product), quote=False)
    annotations = []
    for kind, name in (("Place", place), ("Product", product)):
        start = text.find(name)
        if start >= 0:
            annotations.append((start, start + len(name) - 1, kind, name))
    return Sentence(text, tuple(sorted(annotations)))
