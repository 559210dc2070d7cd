from __future__ import annotations

import pytest

from leads_pandas.finding.placeholders import is_nobodys

NOBODYS = """
x@example.com max@beispiel.de nombre@ejemplo.com test@test.com git@github.com git@firma.de
hello@pixelarity.com imie@twojafirma.pl jij@voorbeeld.nl vous@email.com username@domain.com
twoj@email.pl your@mail.com info@mysite.com filler@godaddy.com name@firma.de you@company.com
name@email.com mail@mail.com john.doe@gmail.com jane@doe.com max.mustermann@web.de
erika.mustermann@bau.de prenom.nom@entreprise.fr nome@dominio.it seu@email.com naam@bedrijf.nl
jan.kowalski@firma.pl jmeno@domena.cz nev@pelda.hu nimi@esimerkki.fi navn@eksempel.no
namn@exempel.se ornek@ornek.com name@пример.рф abc@xyz.com foo@bar.com your.email@gmail.com
votre@email.fr max@mustermann.de jan@kowalski.pl latua@email.it minta@minta.hu to@email.gr
numele@tau.ro ion.popescu@email.com nama@email.com emailanda@gmail.com ihr@name.de ola@nordmann.no
hello@reallygreatsite.com enteryour@email.com primjer@email.hr vardas.pavarde@imone.lt
info@yourcompany.com info@domain.com mymail@mailservice.com tucorreo@gmail.com ten@email.com
ihre-email@web.de vorname.nachname@firma.de test@gmail.com 4f1c77b09a4f1c77b09a4f1c77b09a@x.de
firstname.lastname@bau.de info@exemple.fr examplepage@mail.com
"""
SOMEBODYS = """
info@firma.de info@bau.de mail@bau.de kontakt@firma.pl bakery@gmail.com me@johnsmith.com
info@muster-bau.de info@hotel.de anna@mueller.de jan@jansen.nl contact@primerose.fr
twojogrod@wp.pl vashi-okna@mail.ru mydentist.oslo@gmail.com votrejardinier@orange.fr
demirci@hotmail.com nomad@gmail.com abc-taxi@web.de ivan.petrov1975@mail.ru seupet@gmail.com
mario.rossi@libero.it jan.novak@seznam.cz info@bar-central.de max@schmidt.de info@testa.it
"""


@pytest.mark.parametrize("address", NOBODYS.split())
def test_a_sample_is_nobodys(address: str) -> None:
    assert is_nobodys(address, "www.bau.de")


@pytest.mark.parametrize("address", SOMEBODYS.split())
def test_a_plain_address_is_somebodys(address: str) -> None:
    assert not is_nobodys(address, "www.bau.de")


def test_the_site_s_own_domain_is_no_sample_whatever_it_is_called() -> None:
    assert not is_nobodys("info@beispiel.de", "www.beispiel.de")
    assert is_nobodys("info@beispiel.de", "www.bau.de")
