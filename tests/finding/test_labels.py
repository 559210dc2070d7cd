from __future__ import annotations

import pytest

from leads_pandas.finding.labels import Kind, promise_of, promise_of_path

CONTACT = """
Contact us|Get in touch|Kontakt|Ansprechpartner|Anfahrt|So finden Sie uns
Contactez-nous|Nous joindre
Contacto|Contáctenos|Contatti|Dove siamo|Contato|Fale conosco|Fale connosco|Kontakty|Napisz do nas
Napište nám|Kapcsolat|Elérhetőségek|Yhteystiedot|Ota yhteyttä|Kontakta oss|Kontakt os|Susisiekite
Sazinieties|Hafðu samband|Контакты|Обратная связь|Контакти|Зворотний зв'язок|Επικοινωνία
İletişim
聯絡我們|联系我们|お問い合わせはこちら|문의하기|찾아오시는 길
اتصل بنا|تماس با ما|צור קשר
رابطہ کریں|ہم سے رابطہ|رابطہ فارم|צרו איתנו קשר|راه‌های ارتباطی|Twandikire
Где нас найти|Залишити заявку|Контактна форма|Kako do nas|Hol vagyunk|Löydä meidät|Hör av dig
संपर्क करें|যোগাযোগ|ติดต่อเรา|Liên hệ|Hubungi kami|Wasiliana nasi|კონტაქტი|Կապ|Kontaktua|ያግኙን
"""


@pytest.mark.parametrize("label", CONTACT.replace("\n", "|").strip("|").split("|"))
def test_a_contact_page_is_known_in_any_language(label: str) -> None:
    assert promise_of(label).kind is Kind.CONTACT


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Impressum", Kind.IMPRINT),
        ("Mentions légales", Kind.IMPRINT),
        ("特定商取引法に基づく表記", Kind.IMPRINT),
        ("Über uns", Kind.ABOUT),
        ("会社概要", Kind.ABOUT),
        ("Команда", Kind.ABOUT),
        ("Datenschutzerklärung", Kind.PRIVACY),
        ("Ochrana osobních údajů", Kind.PRIVACY),
        ("Deutsch", Kind.LANGUAGE),
        ("Kontaktlinsen", Kind.OTHER),
        ("Contact lenses", Kind.OTHER),
        ("Lentilles de contact", Kind.OTHER),
        ("コンタクトレンズ", Kind.OTHER),
        ("Booking.com", Kind.OTHER),
        ("Location de voitures", Kind.OTHER),
        ("E-Mail-Marketing", Kind.OTHER),
        ("Termin vereinbaren", Kind.ABOUT),
        ("رازداری کی پالیسی", Kind.PRIVACY),
        ("Legal thrillers of the year", Kind.OTHER),
        ("", Kind.OTHER),
        ("!", Kind.OTHER),
    ],
)
def test_other_labels_are_what_they_are(label: str, kind: Kind) -> None:
    assert promise_of(label).kind is kind


def test_the_bare_word_is_surer_than_a_label_that_has_it() -> None:
    doubts = [
        promise_of(label).doubt
        for label in ("Kontakt", "Kontakt & Team", "Hier geht es zum Kontakt mit uns allen")
    ]
    assert doubts == sorted(set(doubts))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/kontakt.html", Kind.CONTACT),
        ("/de/contact-us/index.php", Kind.CONTACT),
        ("/info/impressum.htm", Kind.IMPRINT),
        ("/ueber-uns", Kind.ABOUT),
        ("/de/", Kind.LANGUAGE),
        ("/en-us", Kind.LANGUAGE),
        ("/kontaktlinsen-3", Kind.OTHER),
        ("/avisolegal.html", Kind.IMPRINT),
        ("/dovesiamo.htm", Kind.CONTACT),
        ("/lxwm/", Kind.CONTACT),
        ("/", Kind.OTHER),
    ],
)
def test_a_path_promises_what_its_words_do(path: str, kind: Kind) -> None:
    assert promise_of_path(path).kind is kind
